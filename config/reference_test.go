package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/setting"
)

var update = flag.Bool("update", false, "write broker.toml and controller.toml anew")

const brokerHead = `# Settings of a broker: ` + "`sluice broker --config broker.toml`" + `.
#
# Every key is listed here with its default, which applies to keys that you leave out.
# Unknown keys are refused. ` + "`sluice config check FILE`" + ` validates a file.
# Sizes are in bytes, times in milliseconds (_ms) or microseconds (_us).
# Unless stated otherwise, a time is at most ten years and a size at most 1 TiB.
`

const controllerHead = `# Settings of a controller: ` + "`sluice controller --config controller.toml`" + `.
#
# Every key is listed here with its default, which applies to keys that you leave out.
# Unknown keys are refused.
`

// The reference files are what the fields of the settings say: their keys, defaults and comments.
func TestReferenceFilesAreCurrent(t *testing.T) {
	for name, want := range map[string]string{
		"broker.toml":     brokerHead + reference(t, DefaultBroker()),
		"controller.toml": controllerHead + reference(t, DefaultController()),
	} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != want {
			t.Errorf("%s is not what the fields of the settings say; run `go test ./config -run TestReferenceFilesAreCurrent -update`", name)
		}
	}
}

func TestTagsAreRight(t *testing.T) {
	for _, c := range []any{Broker{}, Controller{}} {
		if err := setting.Verify(c); err != nil {
			t.Error(err)
		}
	}
}

// Every key has a comment, or directly follows one that has.
func TestEverySettingIsExplained(t *testing.T) {
	for _, f := range Shipped() {
		explained := false
		for line := range strings.Lines(f.Text) {
			switch line = strings.TrimSpace(line); {
			case line == "":
				explained = false
			case line[0] == '#':
				explained = true
			case line[0] != '[' && !explained && !strings.HasPrefix(f.Name, "example-"):
				t.Errorf("%s: there is no comment for %s", f.Name, line)
			}
		}
		if !strings.HasPrefix(f.Text, "#") {
			t.Errorf("%s does not say what it is", f.Name)
		}
	}
}

// reference returns the text of a file with all settings of c.
func reference(t *testing.T, c any) string {
	docs := comments{t: t, packages: make(map[string]map[string]string)}
	var b strings.Builder
	var opened []string // the tables that the last setting is in
	for f := range setting.Fields(c) {
		tables := slices.DeleteFunc(slices.Clone(f.Path), func(m setting.Member) bool { return m.Table == "" })
		for i, m := range tables {
			table := strings.Join(names(tables[:i+1]), ".")
			if slices.Contains(opened, table) {
				continue
			}
			opened = append(opened, table)
			if i < len(tables)-1 { // it has no settings of its own
				b.WriteString("\n" + docs.of(m))
				continue
			}
			b.WriteString("\n[" + table + "]\n" + docs.of(m))
		}
		fmt.Fprintf(&b, "%s%s = %s\n", docs.of(f.Path[len(f.Path)-1]), last(f.Key), literal(f.Value()))
	}
	return b.String()
}

func names(tables []setting.Member) (all []string) {
	for _, m := range tables {
		all = append(all, m.Table)
	}
	return all
}

// comments finds the comments above fields of structs.
type comments struct {
	t        *testing.T
	packages map[string]map[string]string // by path, then by TYPE.FIELD
}

// of returns the comment above a field, as one of TOML.
func (c comments) of(m setting.Member) string {
	path := m.Struct.PkgPath()
	if c.packages[path] == nil {
		c.packages[path] = c.read(path)
	}
	text, ok := c.packages[path][m.Struct.Name()+"."+m.Name]
	if !ok {
		c.t.Fatalf("%s.%s is not found in %s", m.Struct, m.Name, path)
	}
	return text
}

func (c comments) read(path string) map[string]string {
	module := strings.TrimSuffix(reflect.TypeFor[Broker]().PkgPath(), "config")
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(strings.TrimPrefix(path, module)), "*.go"))
	if err != nil {
		c.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			c.t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					fields(spec.Name.Name, s, all)
				}
			}
			return true
		})
	}
	return all
}

// fields takes in the comments above the fields of a struct.
func fields(name string, s *ast.StructType, all map[string]string) {
	for _, f := range s.Fields.List {
		text := ""
		for line := range strings.Lines(f.Doc.Text()) {
			text += "# " + line
		}
		for _, n := range f.Names {
			all[name+"."+n.Name] = text
		}
	}
}
