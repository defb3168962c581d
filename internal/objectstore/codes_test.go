package objectstore

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The pages about the stores explain exactly the error codes that the broker knows.
func TestCodesAreThoseOfThePages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/storage/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	explained := map[string]bool{}
	code := regexp.MustCompile("`([A-Za-z0-9.]+)`")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		_, errors, _ := strings.Cut(string(text), "## Errors")
		for line := range strings.Lines(errors) {
			cells := strings.Split(line, "|")
			if len(cells) != 5 {
				continue
			}
			for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
				explained[m[1]] = true
				if _, known := codes[m[1]]; !known {
					t.Errorf("%s explains %s, which the broker does not know", page, m[1])
				}
			}
		}
	}
	normal := map[class]bool{classMissing: true, classTaken: true, classShort: true} // normal outcomes
	for c, m := range codes {
		if !explained[c] && !normal[m.class] && c != certificateCode {
			t.Errorf("no page explains %s", c)
		}
		if (m.class == classRefused) != (m.do != "") {
			t.Errorf("%s: class %d, advice %q", c, m.class, m.do)
		}
	}
}
