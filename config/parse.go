package config

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/sluicemq/sluice/internal/setting"
)

// maxReported is how many mistakes of a file are told at once.
const maxReported = 8

// ParseBroker reads the text of a file over the defaults and validates the
// result. Errors begin with the name of the file.
func ParseBroker(file string, text []byte) (Broker, error) {
	c := DefaultBroker()
	return c, parsed(file, text, &c, func() error { return c.Validate() })
}

// ParseController is ParseBroker for a controller.
func ParseController(file string, text []byte) (Controller, error) {
	c := DefaultController()
	return c, parsed(file, text, &c, func() error { return c.Validate() })
}

func parsed(file string, text []byte, into any, validate func() error) error {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
		return fmt.Errorf("%s is not TOML: %w", file, err)
	}
	err := assign(k.Raw(), into)
	if err == nil {
		err = validate()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// assign sets the settings of into from what a file says.
func assign(tree map[string]any, into any) error {
	fields := make(map[string]setting.Field)
	for f := range setting.Fields(into) {
		fields[f.Key] = f
	}
	var errs []error
	for key, value := range leaves(tree, "", fields) {
		f, ok := fields[key]
		var err error
		if !ok {
			err = fmt.Errorf("unknown key %s; the nearest known key is %s", key, nearest(key, maps.Keys(fields)))
		} else {
			err = f.Set(value)
		}
		if err == nil {
			continue
		}
		if len(errs) == maxReported {
			errs = append(errs, errors.New("and more"))
			break
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// leaves yields what a file says, sorted. A table is a leaf where a setting of
// that name is known, or when it is empty.
func leaves(tree map[string]any, prefix string, known map[string]setting.Field) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		visit(tree, prefix, known, yield)
	}
}

func visit(tree map[string]any, prefix string, known map[string]setting.Field, yield func(string, any) bool) bool {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key, value := prefix+name, tree[name]
		table, ok := value.(map[string]any)
		_, leaf := known[key]
		switch {
		case ok && !leaf && (len(table) > 0 || isTable(key, known)):
			if !visit(table, key+".", known, yield) {
				return false
			}
		case !yield(key, value):
			return false
		}
	}
	return true
}

// isTable says whether a setting is in the table key.
func isTable(key string, known map[string]setting.Field) bool {
	for name := range known {
		if len(name) > len(key) && name[:len(key)] == key && name[len(key)] == '.' {
			return true
		}
	}
	return false
}
