package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sluicemq/sluice/config"
)

// Settings and policies in the documentation are valid.
func TestBlocksOfPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/storage/*.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```(toml|json)\n(.*?)```")
	found := map[string]int{}
	for _, page := range append(pages, "../../docs/security.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllSubmatch(text, -1) {
			found[string(m[1])]++
			if string(m[1]) == "json" {
				if !json.Valid(m[2]) {
					t.Errorf("%s: this is no JSON:\n%s", page, m[2])
				}
				continue
			}
			b, err := config.ParseBroker(page, m[2])
			if err == nil {
				_, err = nodeConfig(b)
			}
			if err != nil {
				t.Errorf("%v:\n%s", err, m[2])
			}
		}
	}
	if found["toml"] < 5 || found["json"] < 4 {
		t.Errorf("found %v: the test looks in the wrong places", found)
	}
}
