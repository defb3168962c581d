package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestNothingSetIsTheDefault(t *testing.T) {
	got, err := ParseBroker("empty.toml", nil)
	if err != nil || !reflect.DeepEqual(got, DefaultBroker()) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseController("empty.toml", nil); err != nil || !reflect.DeepEqual(got, DefaultController()) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsSetIsRead(t *testing.T) {
	got, err := ParseBroker("b.toml", []byte(`
wal.fsync_on_write = false
[broker]
id = 7
rack = "z"
[stages.batch]
linger_us = 0
`))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultBroker()
	want.WAL.FsyncOnWrite, want.Broker.ID, want.Broker.Rack, want.Stages.Batch.Linger = false, 7, "z", 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// Mistakes are told with file, key and what to do instead.
func TestMistakesAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"typo":                {"[wal]\nsegment_size_byte = 1", "b.toml: unknown key wal.segment_size_byte; the nearest known key is wal.segment_size_bytes"},
		"typo in the table":   {"[wall]\ncapacity_bytes = 1", "unknown key wall.capacity_bytes; the nearest known key is wal.capacity_bytes"},
		"wrong table":         {"[network]\nsegment_size_bytes = 1", "unknown key network.segment_size_bytes; the nearest known key is wal.segment_size_bytes"},
		"no table":            {"min_in_sync_replicas = 1", "unknown key min_in_sync_replicas; the nearest known key is replication.min_in_sync_replicas"},
		"unknown stage":       {"[stages.bach]\ndepth = 1", "unknown key stages.bach.depth; the nearest known key is stages.batch.depth"},
		"unknown empty table": {"[waal]", "unknown key waal"},
		"setting as table":    {"[wal.capacity_bytes]\nx = 1", "wal.capacity_bytes must be a whole number, not a table"},
		"table as setting":    {"wal = 3", "unknown key wal;"},
		"text for number":     {"[wal]\ncapacity_bytes = \"1GiB\"", `wal.capacity_bytes must be a whole number, not the string "1GiB"`},
		"fraction":            {"[wal]\ncapacity_bytes = 1.5", "wal.capacity_bytes must be a whole number, not 1.5"},
		"number for text":     {"[log]\nlevel = 3", "log.level must be a string in quotes, not 3"},
		"number for boolean":  {"[wal]\nfsync_on_write = 1", "wal.fsync_on_write must be true or false, not 1"},
		"list":                {"[network]\nquic_listen = [\"a\"]", "network.quic_listen must be a string in quotes, not an array"},
		"date":                {"[log]\nlevel = 2026-01-01", "log.level must be a string in quotes, not 2026-01-01"},
		"no TOML":             {"[wal", "b.toml is not TOML: line 1, column "},
		"unfinished array":    {"[wal]\n\n[log]\nlevel = [1,", "b.toml is not TOML: line 4, column "},
		"unfinished string":   {"[log]\nlevel = \"info\n[wal]\n", "b.toml is not TOML: line 2, column "},
		"no value":            {"[log]\nlevel =\n", "b.toml is not TOML: line 2, column "},
		"not UTF-8":           {"[log]\nlevel = \"\xff\"\n", "b.toml is not TOML: line 2, column 10: "},
		"twice":               {"[wal]\ndirectory = \"a\"\n  directory = \"b\"", "b.toml is not TOML: line 3, column 3: "},
		"table twice":         {"[wal]\n[log]\nlevel = \"\"\"\ninfo\n\"\"\"\n[wal]\nx = [\n1]\n", "b.toml is not TOML: line 6, column 1: "},
		"invalid":             {"[wal]\nsegment_size_bytes = 65537", "wal.segment_size_bytes must be a multiple of 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseBroker("b.toml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "b.toml") {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestEveryMistakeIsTold(t *testing.T) {
	_, err := ParseBroker("b.toml", []byte("[wal]\nfoo = 1\nfsync_on_write = 2\n[log]\nlevel = 3"))
	for _, want := range []string{"wal.foo", "wal.fsync_on_write", "log.level"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not told: %v", want, err)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "k%d = 1\n", i)
	}
	if _, err := ParseBroker("b.toml", []byte(many.String())); err == nil || !strings.HasSuffix(err.Error(), "and more") {
		t.Errorf("a file of mistakes: %v", err)
	}
}

func TestAControllerHasNoSettingsOfABroker(t *testing.T) {
	_, err := ParseController("c.toml", []byte("[wal]\ndirectory = \"x\""))
	if err == nil || !strings.Contains(err.Error(), "unknown key wal.directory; the nearest known key is metadata.directory") {
		t.Error(err)
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"wal", "wall", 1}, {"kitten", "sitting", 3}, {"depth", "depth", 0}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance(test.b, test.a); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

// Whatever a file says, it is read or refused with the name of the file; what is
// read is printed and read again.
func FuzzParseBroker(f *testing.F) {
	f.Add([]byte("wal.fsync_on_write = false\n[broker]\nid = 7\n[stages.batch]\nlinger_us = 0\n"))
	f.Add([]byte("[wal]\n\"a.b\" = 1\n[[x]]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseBroker("f.toml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f.toml") {
				t.Errorf("the file is not named: %v", err)
			}
			return
		}
		again, err := ParseBroker("again.toml", []byte(Format(c)))
		if err != nil || again != c {
			t.Errorf("%+v is read back as %+v, %v", c, again, err)
		}
	})
}
