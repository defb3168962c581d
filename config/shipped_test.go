package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestShippedFilesAreRight(t *testing.T) {
	for _, f := range Shipped() {
		t.Run(f.Name, func(t *testing.T) {
			if _, err := f.Parse(); err != nil {
				t.Error(err)
			}
			if got := RoleOf([]byte(f.Text)); got != f.Role {
				t.Errorf("taken for a %s", got)
			}
			found, err := FindShipped(strings.TrimSuffix(f.Name, ".toml"))
			if err != nil || found != f {
				t.Errorf("found %s, %v", found.Name, err)
			}
		})
	}
	if _, err := FindShipped("nothing"); err == nil || !strings.Contains(err.Error(), "example-production") {
		t.Errorf("an unknown name: %v", err)
	}
}

// reference is what a file says, key by key, and whether each is explained: the
// line above it, or above the keys directly before it, is a comment.
func reference(text string) (lines map[string]string, unexplained []string) {
	lines = make(map[string]string)
	table, explained := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			explained = false
		case line[0] == '#':
			explained = true
		case line[0] == '[':
			table, explained = strings.Trim(line, "[]"), false
		default:
			key, value, _ := strings.Cut(line, " = ")
			lines[table+"."+key] = value
			if !explained {
				unexplained = append(unexplained, table+"."+key)
			}
		}
	}
	return lines, unexplained
}

// A reference file has every key with its default, in the order of the struct, so
// it is what Format makes of the defaults, with comments.
func TestReferenceFilesHaveEveryKeyWithItsDefault(t *testing.T) {
	for name, test := range map[string]struct {
		text     string
		defaults any
	}{"broker": {brokerText, DefaultBroker()}, "controller": {controllerText, DefaultController()}} {
		have, _ := reference(test.text)
		want, _ := reference(Format(test.defaults))
		for key, value := range want {
			if have[key] != value {
				t.Errorf("%s.toml: %s is %q, its default is %s", name, key, have[key], value)
			}
		}
		for key := range have {
			if _, ok := want[key]; !ok {
				t.Errorf("%s.toml: %s is no setting", name, key)
			}
		}
	}
}

func TestEveryKeyOfAShippedFileIsExplained(t *testing.T) {
	for _, f := range Shipped() {
		if _, unexplained := reference(f.Text); len(unexplained) > 0 && !strings.HasPrefix(f.Name, "example-") {
			t.Errorf("%s: no comment at %v", f.Name, unexplained)
		}
		if !strings.HasPrefix(f.Text, "#") {
			t.Errorf("%s does not say what it is", f.Name)
		}
	}
}

// What Format prints sets every key: parsed over other values it gives the same.
func TestFormatIsReadBack(t *testing.T) {
	c := DefaultBroker()
	c.Broker.Rack, c.Broker.DataDirectory = "a \"quoted\"\track\\", "/somewhere"
	c.WAL.FsyncOnWrite, c.Topics.AutoCreate = false, true
	c.Stages.Batch.LingerUs, c.Groups.MaxGroups = 7, 8
	got, err := ParseBroker("it", []byte(Format(c)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v\nwant %+v", got, c)
	}
	if n := strings.Count(Format(c), " = "); n != count(c) {
		t.Errorf("%d settings printed of %d", n, count(c))
	}
}

func count(c any) (n int) {
	for range Keys(c) {
		n++
	}
	return n
}
