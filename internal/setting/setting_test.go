package setting_test

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/setting"
)

// level is a named string type.
type level string

// stage is a typical package's Config, with a rule of its own.
type stage struct {
	Depth  int           `toml:"depth" default:"4" range:"1..1Ki" live:"g/s"`
	Linger time.Duration `toml:"linger_us" default:"1ms" range:"0s..1s" live:"g/s"`
	Least  int64         `toml:"least_bytes" default:"1Ki" range:"0.." live:"g/s/least"`
	Most   int64         `toml:"most_bytes" default:"2Ki" range:"0.."`
	Paused bool          `toml:"paused" live:"g/s"`
	Idle   time.Duration `default:"5s"` // not settable in a file
	Given  int           // set by the wiring
}

func (s stage) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(s))
	p.NotBelow("most_bytes", s.Most, "least_bytes", s.Least)
	return p.Err()
}

type queue struct {
	Depth int `toml:"depth" range:"1..64Ki" live:"."`
}

// file consists of several Configs, some of which share a table.
type file struct {
	One struct {
		Name  string `toml:"name" default:"x"`
		Stage stage
	} `toml:"one"`
	Two struct {
		Numbers
		Ratio float64 `toml:"ratio" default:"0.5" range:"0..1"`
		Level level   `toml:"level" default:"info" oneof:"info|warn"`
	} `toml:"two"`
	Deep struct {
		A queue `toml:"a" default:"depth=1" live:"g/a"`
		B queue `toml:"b" default:"depth=2" live:"g/b"`
	} `toml:"deep"`
	Wait time.Duration `toml:"wait_ms" default:"2d" range:"1ms.."`
	Log  string        `toml:"log" default:"info" live:"log"`
}

// Numbers has integers of all widths.
type Numbers struct {
	N16 int16 `toml:"n16" default:"-1" range:"-1..32767"`
	N32 int32 `toml:"n32" default:"1" range:"0.."`
}

func TestDefaultsKeysAndPlaces(t *testing.T) {
	c := setting.Default[file]()
	got := map[string]any{}
	var order []string
	live := map[string]setting.Place{}
	for f := range setting.Fields(c) {
		got[f.Key] = f.Value()
		order = append(order, f.Key)
		if f.Live != (setting.Place{}) {
			live[f.Key] = f.Live
		}
	}
	want := map[string]any{"one.name": "x", "one.depth": int64(4), "one.linger_us": int64(1000), "one.least_bytes": int64(1024), "one.most_bytes": int64(2048), "one.paused": false,
		"two.n16": int64(-1), "two.n32": int64(1), "two.ratio": 0.5, "two.level": "info", "deep.a.depth": int64(1), "deep.b.depth": int64(2), "wait_ms": int64(172_800_000), "log": "info"}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if order[0] != "one.name" || order[len(order)-1] != "log" {
		t.Errorf("the order is %v", order)
	}
	if c.One.Stage.Idle != 5*time.Second || c.One.Stage.Given != 0 {
		t.Errorf("fields that are not settings: %+v", c.One.Stage)
	}
	places := map[string]setting.Place{"one.depth": {"g/s", "depth"}, "one.linger_us": {"g/s", "linger_us"}, "one.least_bytes": {"g/s", "least"}, "one.paused": {"g/s", "paused"},
		"deep.a.depth": {"g/a", "depth"}, "deep.b.depth": {"g/b", "depth"}, "log": {"log", ""}}
	if !maps.Equal(live, places) {
		t.Errorf("live are %v", live)
	}
	if err := setting.Check(c); err != nil {
		t.Error(err)
	}
	if n := setting.Most(c, "two.n32"); n != math.MaxInt32 {
		t.Errorf("the greatest is %d", n)
	}
}

// An error names the full key, even if it comes from a part's own rule, and appears once.
func TestCheckNamesKeys(t *testing.T) {
	for want, change := range map[string]func(*file){
		"one.depth must be from 1 to 1024, not 0":                           func(c *file) { c.One.Stage.Depth = 0 },
		"one.linger_us must be from 0 to 1000000, not 1000001":              func(c *file) { c.One.Stage.Linger = time.Second + time.Microsecond },
		"one.most_bytes must be from 0 to 1099511627776, not 1099511627777": func(c *file) { c.One.Stage.Most = 1<<40 + 1 },
		"one.most_bytes (1) must not be below one.least_bytes (1024)":       func(c *file) { c.One.Stage.Most = 1 },
		"two.ratio must be from 0 to 1, not NaN":                            func(c *file) { c.Two.Ratio = math.NaN() },
		`two.level must be one of info, warn, not "loud {x}"`:               func(c *file) { c.Two.Level = "loud {x}" },
		"deep.b.depth must be from 1 to 65536, not 65537":                   func(c *file) { c.Deep.B.Depth = 65537 },
		"wait_ms must be from 1 to 315360000000, not 0":                     func(c *file) { c.Wait = time.Microsecond },
		"two.n16 must be from -1 to 32767, not -2":                          func(c *file) { c.Two.N16 = -2 },
	} {
		c := setting.Default[file]()
		change(&c)
		err := setting.Check(c)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// Values are set according to their type in the file; a number that does not fit the field is
// out of range.
func TestSet(t *testing.T) {
	c := setting.Default[file]()
	fields := map[string]setting.Field{}
	for f := range setting.Fields(&c) {
		fields[f.Key] = f
	}
	for key, v := range map[string]any{"one.linger_us": int64(5), "one.paused": true, "two.ratio": int64(1), "two.level": "warn", "two.n16": int64(7), "wait_ms": int64(3)} {
		if err := fields[key].Set(v); err != nil {
			t.Error(err)
		}
	}
	if c.One.Stage.Linger != 5*time.Microsecond || !c.One.Stage.Paused || c.Two.Ratio != 1 || c.Two.Level != "warn" || c.Two.N16 != 7 || c.Wait != 3*time.Millisecond {
		t.Errorf("%+v", c)
	}
	for _, x := range []struct {
		key  string
		v    any
		want string
	}{
		{"one.depth", "4", `one.depth must be a whole number, not the string "4"`},
		{"one.depth", 1.5, "one.depth must be a whole number, not 1.5"},
		{"one.paused", int64(1), "one.paused must be true or false, not 1"},
		{"one.name", []any{1}, "one.name must be a string in quotes, not an array"},
		{"two.ratio", "x", `two.ratio must be a number, not the string "x"`},
		{"two.n16", int64(32768), "two.n16 must be from -1 to 32767, not 32768"},
		{"wait_ms", int64(math.MaxInt64), "wait_ms must be from 1 to 315360000000, not 9223372036854775807"},
		{"wait_ms", int64(math.MinInt64), "wait_ms must be from 1 to 315360000000, not -9223372036854775808"},
	} {
		if err := fields[x.key].Set(x.v); err == nil || err.Error() != x.want {
			t.Errorf("got  %v\nwant %s", err, x.want)
		}
	}
}

func TestTune(t *testing.T) {
	l := setting.NewLimits("g/s", setting.Default[stage]())
	was := l.Config()
	if got := l.Tunables(); !maps.Equal(got, map[string]int64{"depth": 4, "linger_us": 1000, "least": 1024, "paused": 0}) {
		t.Errorf("got limits %v", got)
	}
	if err := l.Tune(map[string]int64{"linger_us": 7, "paused": 1}); err != nil || l.Config().Linger != 7*time.Microsecond || !l.Config().Paused || l.Config().Depth != 4 {
		t.Errorf("%v: %+v", err, l.Config())
	}
	if was.Paused {
		t.Error("a Config that was read before has changed")
	}
	now := *l.Config()
	for want, values := range map[string]map[string]int64{
		"depth must be from 1 to 1024, not 0":                                      {"depth": 0, "linger_us": 9},
		"paused must be from 0 to 1, not 2":                                        {"paused": 2, "depth": 5},
		`g/s has no limit "most_bytes"; there are depth, least, linger_us, paused`: {"most_bytes": 1, "depth": 5},
		"most_bytes (2048) must not be below least_bytes (4096)":                   {"least": 4096, "depth": 5},
		"linger_us must be from 0 to 1000000, not 9223372036854775807":             {"linger_us": math.MaxInt64},
	} {
		if err := l.Tune(values); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if *l.Config() != now {
			t.Errorf("%v changed the limits: %+v", values, l.Config())
		}
	}
}

// Every invalid tag is found, whatever the field's value.
func TestVerify(t *testing.T) {
	for want, c := range map[string]any{
		"": file{},
		"A: numbers, and nothing else": struct {
			A int `toml:"a" default:"1"`
		}{},
		"A: it has no default": struct {
			A int `toml:"a" range:"1.."`
		}{},
		"its default: a must be from 1 to": struct {
			A int `toml:"a" default:"0" range:"1.."`
		}{},
		"its default: a must be one of": struct {
			A string `toml:"a" default:"z" oneof:"x|y"`
		}{},
		"invalid syntax": struct {
			A int `toml:"a" default:"1K" range:"1.."`
		}{},
		"a range is like": struct {
			A int `toml:"a" default:"1" range:"1-2"`
		}{},
		"the key of a time ends in": struct {
			A time.Duration `toml:"a" default:"1s" range:"1s.."`
		}{},
		"is not a multiple of 1ms": struct {
			A time.Duration `toml:"a_ms" default:"1us" range:"0s.."`
		}{},
		"a time is a time.Duration": struct {
			A int64 `toml:"a_ms" default:"1" range:"0.."`
		}{},
		"there are two settings a": struct {
			A, B string `toml:"a"`
		}{},
		"cannot be a []string": struct {
			A []string `toml:"a"`
		}{},
		"only a string is one of": struct {
			A bool `toml:"a" oneof:"x|y"`
		}{},
		"whole numbers or booleans": struct {
			A string `toml:"a" live:"g/s"`
		}{},
		"live is like": struct {
			A bool `toml:"a" live:"g/s/k/x"`
		}{},
		"no stage is named around it": struct {
			A bool `toml:"a" live:"."`
		}{},
		"must be exported": struct {
			a bool `toml:"a"`
		}{},
		"it has a default for b": struct {
			T struct {
				A bool `toml:"a"`
			} `toml:"t" default:"b=true"`
		}{},
		"are like depth=64": struct {
			T struct {
				A bool `toml:"a"`
			} `toml:"t" default:"true"`
		}{},
	} {
		err := setting.Verify(c)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a field with an invalid tag is walked")
		}
	}()
	setting.Fields(struct {
		A int `toml:"a"`
	}{})
}

func TestAddress(t *testing.T) {
	var p setting.Problems
	for _, right := range []string{"", "127.0.0.1:0", ":65535", "[::1]:1", "host:1"} {
		p.Address("at", right)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	wrong := []string{"9092", "host:https", "a:65536", "::1:1"}
	for _, w := range wrong {
		p.Address("at", w)
	}
	var many interface{ Unwrap() []error }
	if !errors.As(p.Err(), &many) || len(many.Unwrap()) != len(wrong) || slices.ContainsFunc(many.Unwrap(), func(err error) bool { return !strings.HasPrefix(err.Error(), "at must be HOST:PORT") }) {
		t.Errorf("got %v", p.Err())
	}
}
