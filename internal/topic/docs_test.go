package topic

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of topic configs into docs/topics.md")

// The table in docs/topics.md is generated: `go test ./internal/topic -update`.
func TestTheDocumentationHasEveryConfig(t *testing.T) {
	const page, head = "../../docs/topics.md", "| config | default | accepted values | description |\n|---|---|---|---|\n"
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), head)
	if !ok {
		t.Fatal("the page has no table of configs")
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	var rows strings.Builder
	for _, c := range Configs() {
		fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", c.Name, quoted(c.Default), c.accepted(), c.Doc)
	}
	want := before + head + rows.String() + "\n" + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(raw) {
		t.Errorf("%s is not what the package says; go test ./internal/topic -update", page)
	}
}

func quoted(value string) string {
	if value == "" {
		return "empty"
	}
	return "`" + value + "`"
}

// accepted describes the values that c accepts.
func (c *Config) accepted() string {
	switch {
	case c.Kind == Boolean && len(c.allowed) == 0:
		return "`true`, `false`"
	case c.Kind == Double:
		return "0 to 1"
	case c.Kind == Int && c.also != nil && c.also("0") != "":
		return fmt.Sprintf("%d, 1 to %d", c.min, c.max)
	case c.Kind == Int || c.Kind == Long:
		return fmt.Sprintf("%d to %d", c.min, c.max)
	case len(c.allowed) == 0:
		return "`*` or a list of `partition:broker`"
	}
	return "`" + strings.Join(c.allowed, "`, `") + "`"
}
