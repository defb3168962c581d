package house_test

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// Go programs in the documentation compile as printed, in a module that uses this one, without
// network access; and they are gofmt-formatted.
func TestGoSnippetsInPagesCompile(t *testing.T) {
	dir := t.TempDir()
	home, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range files(t, ".md") {
		text := read(t, page)
		blocks := goBlock.FindAllStringSubmatch(text, -1)
		if fences := strings.Count(text, "```go"); fences != len(blocks) {
			t.Errorf("%s has %d blocks of Go, of which %d can be parsed: a fence must start a line and be closed", page, fences, len(blocks))
		}
		for i, b := range blocks {
			found++
			code := strings.ReplaceAll(b[1], "\r\n", "\n")
			if pretty, err := format.Source([]byte(code)); err != nil {
				t.Errorf("%s, block %d: %v", page, i+1, err)
				continue
			} else if string(pretty) != code {
				t.Errorf("%s, block %d is not gofmt-formatted", page, i+1)
			}
			into := filepath.Join(dir, fmt.Sprintf("%s_%d", strings.NewReplacer("/", "_", ".", "_").Replace(page), i+1))
			if err := os.MkdirAll(into, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(into, "main.go"), []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found < 5 {
		t.Fatalf("only %d blocks of Go found: the test looks in the wrong places", found)
	}
	// The requirements are this module's own, so nothing needs to be resolved.
	mod := strings.Replace(read(t, "go.mod"), "module "+module+"\n", "module example.org/snippets\n", 1)
	mod += fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, home)
	for name, text := range map[string]string{"go.mod": mod, "go.sum": read(t, "go.sum")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-mod=mod", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("go build: %v\n%s", err, out.String())
	}
}
