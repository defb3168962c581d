package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sluicemq/sluice"

// rules maps each part of the tree to the prefixes of our packages it may import. The longest matching
// key applies. "" allows everything, and is only for cmd.
var rules = map[string][]string{
	"pipeline":         {"pipeline", "internal/fault"},
	"pipeline/promobs": {"pipeline"},
	"internal":         {"internal"},
	"stages":           {"pipeline", "internal", "stages"},
	"replica":          {"pipeline", "internal", "replica"},
	"ingress":          {"internal", "pipeline", "ingress"},
	"egress":           {"internal", "pipeline", "egress"},
	"consensus":        {"internal", "consensus"},
	"config":           {"internal", "stages", "ingress", "egress", "consensus", "config"}, // for their settings
	"sdk/go":           {"internal/quicnet", "internal/certs", "sdk/go"},
	"demo":             {"sdk/go", "internal/certs", "internal/freeport", "demo"},
	"cmd":              {""},
}

// stageRules are the only allowed imports between stages: for a type passed between them, or a cache
// that one fills and the other serves.
var stageRules = map[string][]string{
	"stages/objectfetch": {"stages/readcache"},
}

type pkg struct {
	ImportPath                string
	Imports                   []string
	TestImports, XTestImports []string
}

func TestImportsPointInward(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		room := roomOf(from)
		if room == "" {
			t.Errorf("no rule covers %s: add one, or move the package", p.ImportPath)
			continue
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, module+"/")
			if ours && !allowed(room, to) {
				t.Errorf("%s imports %s: of our packages, %s may import only %v", from, to, room, rules[room])
			}
			if ours && room == "stages" && strings.HasPrefix(to, "stages/") && !within(to, stageRules[from]) && !within(to, []string{from}) {
				t.Errorf("%s imports %s: stages know each other only through internal/flow", from, to)
			}
		}
	}
}

func roomOf(path string) string {
	best := ""
	for room := range rules {
		if within(path, []string{room}) && len(room) > len(best) {
			best = room
		}
	}
	return best
}

func allowed(room, to string) bool {
	for _, r := range rules[room] {
		if r == "" {
			return true
		}
	}
	return within(to, rules[room])
}

func within(path string, rooms []string) bool {
	for _, r := range rooms {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
