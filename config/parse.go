package config

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"

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
		return fmt.Errorf("%s is not TOML: %w", file, located(text, err))
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

// located adds to an error of the TOML parser where in the text it is.
func located(text []byte, err error) error {
	why := strings.TrimPrefix(err.Error(), "toml: ")
	if row, column, ok := position(err); ok {
		return fmt.Errorf("line %d, column %d: %s", row, column, why)
	}
	// The parser gives no position for a key or table that is there twice. It stops there, so
	// that the line is the last one of the shortest text with such an error: a text that ends
	// earlier is right, or its end has a position.
	lines := bytes.SplitAfter(text, []byte("\n"))
	row := 1 + sort.Search(len(lines)-1, func(i int) bool {
		_, err := toml.Parser().Unmarshal(bytes.Join(lines[:i+1], nil))
		_, _, ok := position(err)
		return err != nil && !ok
	})
	column := 1 + len(lines[row-1]) - len(bytes.TrimLeft(lines[row-1], " \t"))
	return fmt.Errorf("line %d, column %d: %s", row, column, why)
}

// position returns where an error of the TOML parser is, if it says so.
func position(err error) (row, column int, ok bool) {
	var at interface{ Position() (row, column int) }
	if !errors.As(err, &at) {
		return 0, 0, false
	}
	row, column = at.Position()
	return row, column, true
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
