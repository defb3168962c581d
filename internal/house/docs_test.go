package house_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/topic"
)

const root = "../.."

// docs/operations.md lists exactly the metrics of the code.
func TestMetricsAreDocumented(t *testing.T) {
	page := read(t, "docs/operations.md")
	documented := set(regexp.MustCompile("`(sluice_[a-z_]+)`").FindAllStringSubmatch(page, -1))
	inCode := map[string]bool{}
	name := regexp.MustCompile(`"(sluice_[a-z_]+)"`)
	short := regexp.MustCompile(`desc\("([a-z_]+)"`) // without the prefix, in pipeline/promobs
	for _, file := range files(t, ".go") {
		if strings.HasSuffix(file, "_test.go") || !served(file) {
			continue
		}
		text := read(t, file)
		maps.Copy(inCode, set(name.FindAllStringSubmatch(text, -1)))
		if strings.HasPrefix(file, "pipeline/promobs/metrics") {
			for s := range set(short.FindAllStringSubmatch(text, -1)) {
				inCode["sluice_pipeline_"+s] = true
			}
		}
	}
	delete(inCode, "sluice_pipeline_") // only a prefix
	if len(inCode) < 40 {
		t.Fatalf("only %d metrics found in the code: the test looks in the wrong places", len(inCode))
	}
	for _, m := range slices.Sorted(maps.Keys(inCode)) {
		if !documented[m] {
			t.Errorf("docs/operations.md does not name %s", m)
		}
	}
	for m := range set(regexp.MustCompile(`(sluice_[a-z_]+)`).FindAllStringSubmatch(page, -1)) {
		documented[strings.TrimSuffix(m, "_bucket")] = true // used in an expression
	}
	for _, m := range slices.Sorted(maps.Keys(documented)) {
		if !inCode[m] {
			t.Errorf("docs/operations.md names %s, which does not exist", m)
		}
	}
}

// served reports whether a broker exports the metrics of a file. The engine's budgets are
// exported by their owners, under other names.
func served(file string) bool {
	for _, not := range []string{"bench/", "tools/", "internal/clients/", "pipeline/promobs/budget"} {
		if strings.HasPrefix(file, not) {
			return false
		}
	}
	return true
}

// Settings mentioned in the documentation exist.
func TestSettingsInPagesExist(t *testing.T) {
	keys := map[string]bool{}
	section := ""
	for line := range strings.Lines(read(t, "config/broker.toml")) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "["); ok {
			section = strings.TrimSuffix(s, "]")
		} else if key, _, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			keys[section+"."+key] = true
		}
	}
	sections := map[string]bool{}
	for k := range keys {
		s, _, _ := strings.Cut(k, ".")
		sections[s] = true
	}
	setting := regexp.MustCompile("`([a-z_]+)\\.([a-z_]+)(?: = [a-z]+)?`")
	for _, page := range files(t, ".md") {
		for _, m := range setting.FindAllStringSubmatch(read(t, page), -1) {
			_, err := topic.LookupConfig(m[1] + "." + m[2])
			if sections[m[1]] && !keys[m[1]+"."+m[2]] && err != nil {
				t.Errorf("%s names the setting %s.%s, which does not exist", page, m[1], m[2])
			}
		}
	}
}

// Links in the documentation resolve.
func TestLinksInPagesLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, m[1])
			}
		}
	}
}

// docs/README.md lists each decision page once, by its number and under its title.
func TestDecisionsAreInTheIndex(t *testing.T) {
	listed := map[string][]string{} // rows by page
	row := regexp.MustCompile(`(?m)^\| \[([0-9]+)\]\(decisions/([^)]+)\) \| (.*) \|$`)
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/README.md"), -1) {
		listed[m[2]] = append(listed[m[2]], "# "+m[1]+" "+m[3])
	}
	pages := 0
	for _, page := range files(t, ".md") {
		name, ok := strings.CutPrefix(page, "docs/decisions/")
		if !ok {
			continue
		}
		pages++
		title, _, _ := strings.Cut(read(t, page), "\n")
		if rows := listed[name]; len(rows) != 1 || rows[0] != title {
			t.Errorf("%s is titled %q, but docs/README.md lists it as %q", page, title, rows)
		}
		if number, _, _ := strings.Cut(name, "-"); !strings.HasPrefix(title, "# "+number+" ") {
			t.Errorf("%s is titled %q, without its number", page, title)
		}
	}
	if pages < 40 || len(listed) != pages {
		t.Errorf("docs/README.md lists %d decisions, but there are %d pages", len(listed), pages)
	}
}

// files returns the paths, relative to the root, of the repository's files with a suffix.
func files(t *testing.T, suffix string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "bin" || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if rel, err := filepath.Rel(root, path); err == nil && strings.HasSuffix(path, suffix) {
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func set(matches [][]string) map[string]bool {
	out := map[string]bool{}
	for _, m := range matches {
		out[m[1]] = true
	}
	return out
}
