package config

import (
	"fmt"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"

	"github.com/sluicemq/sluice/internal/setting"
)

// Format returns the text of a file that sets every setting of c, a Broker or a
// Controller.
func Format(c any) string {
	var b strings.Builder
	table := ""
	for k := range Keys(c) {
		name := last(k.Name)
		if t := strings.TrimSuffix(k.Name, "."+name); t != table {
			if table != "" {
				b.WriteByte('\n')
			}
			table = t
			fmt.Fprintf(&b, "[%s]\n", table)
		}
		fmt.Fprintf(&b, "%s = %s\n", name, literal(k.Value))
	}
	return b.String()
}

// literal returns a value as TOML has it.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case setting.List:
		all := v.All()
		for i, s := range all {
			all[i] = quote(s)
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// quote returns s as a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// RoleOf says what process a file has settings for: a controller if it has a
// controller table, else a broker. Text that is not TOML is taken for a broker's,
// and refused as that.
func RoleOf(text []byte) string {
	tree, err := toml.Parser().Unmarshal(text)
	if _, ok := tree["controller"]; err == nil && ok {
		return RoleController
	}
	return RoleBroker
}

// Parse returns the settings of a shipped file.
func (f File) Parse() (any, error) {
	if f.Role == RoleController {
		return ParseController(f.Name, []byte(f.Text))
	}
	return ParseBroker(f.Name, []byte(f.Text))
}
