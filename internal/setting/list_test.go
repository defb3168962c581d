package setting_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/setting"
)

func TestLists(t *testing.T) {
	type table struct {
		Any   setting.List `toml:"any"`
		Roles setting.List `toml:"roles" default:"broker,controller" oneof:"broker|controller"`
	}
	c := setting.Default[table]()
	if !slices.Equal(c.Roles.All(), []string{"broker", "controller"}) || c.Any.All() != nil || !c.Roles.Has("broker") || c.Roles.Has("broke") || c.Any.Has("") {
		t.Errorf("defaults are %v and %v", c.Roles, c.Any)
	}
	set := func(key string, v any) error {
		for f := range setting.Fields(&c) {
			if f.Key == key {
				return f.Set(v)
			}
		}
		return fmt.Errorf("no key %s", key)
	}
	if err := set("any", []any{"1@a:9095", "2@b:9095"}); err != nil {
		t.Error(err)
	}
	if text, err := json.Marshal(c.Any); string(text) != `["1@a:9095","2@b:9095"]` || err != nil {
		t.Errorf("%s, %v", text, err)
	}
	if c.Any.String() != `["1@a:9095", "2@b:9095"]` || setting.List("").String() != "[]" {
		t.Errorf("%v and %v", c.Any, setting.List(""))
	}
	if text, err := json.Marshal(setting.List("")); string(text) != "[]" || err != nil {
		t.Errorf("%s, %v", text, err)
	}
	for f := range setting.Fields(c) { // what is read can be compared, and set
		if v := f.Value(); v != f.Value() {
			t.Errorf("%s is not itself", f.Key)
		}
		if err := set(f.Key, f.Value()); err != nil {
			t.Error(err)
		}
	}
	before := c
	for _, wrong := range []any{"a", int64(1), []any{""}, []any{"a", int64(1)}, []any{"a\nb"}, []any{[]any{"a"}}, map[string]any{}} {
		if err := set("any", wrong); err == nil || !strings.Contains(err.Error(), "any: it must be an array of strings") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if c != before {
		t.Errorf("a refused value was taken: %v", c)
	}
	if err := setting.Check(c); err != nil {
		t.Error(err)
	}
	c.Roles = setting.ListOf("broker", "admin")
	if err := setting.Check(c); err == nil || err.Error() != `roles must be of broker, controller, not "admin"` {
		t.Errorf("%v", err)
	}
	type wrong struct {
		Roles setting.List `toml:"roles" default:"x" oneof:"broker|controller"`
	}
	if err := setting.Verify(wrong{}); err == nil {
		t.Error("a default that is none of the values was taken")
	}
}
