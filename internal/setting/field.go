package setting

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Field is one setting of a Config.
type Field struct {
	// Key has the tables before it, such as wal.capacity_bytes.
	Key string
	// Live is what takes a new value without a restart; zero: nothing does.
	Live Place
	// Path are the fields that lead to the setting, its own at the end.
	Path []Member

	index       []int         // of the field, from the Config
	value       reflect.Value // its own until it is bound to a Config
	unit        time.Duration // of a time.Duration, else 0
	text        string        // of the default
	least, most number
	oneOf       []string
}

// Place is where a value is in force: a limit of a stage, or a part of the process.
type Place struct {
	Stage string // GRAPH/STAGE, or the name of a part
	Limit string // empty for a part
}

// Member is a field of a struct.
type Member struct {
	Struct reflect.Type
	Name   string
	Table  string // the name of the table that it is; empty for others
}

// number is a bound, whole in the unit of the file or a fraction.
type number struct {
	whole    int64
	fraction float64
}

// Fields yields the settings of a Config, or of a pointer to one, in the order of its fields.
func Fields(cfg any) iter.Seq[Field] {
	all, err := read(cfg)
	if err != nil {
		panic("setting: " + err.Error())
	}
	return func(yield func(Field) bool) {
		for _, f := range all {
			if f.Key != "" && !yield(f) {
				return
			}
		}
	}
}

// Verify reports tags of a Config that are wrong.
func Verify(cfg any) error {
	_, err := read(cfg)
	return err
}

// Value returns the value as it is in a file: a string, bool, int64, float64 or [List].
func (f Field) Value() any {
	switch v := f.value; {
	case isList(v):
		return v.Interface()
	case f.unit > 0:
		return v.Int() / int64(f.unit)
	case v.CanInt():
		return v.Int()
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	default:
		return v.String()
	}
}

// Bounds returns the least and the greatest value of a whole number, as it is in a file. Where
// the tag leaves an end open they are 0 and, by the end of the key: ten years for _ms, 1 TiB for
// _bytes and bytes_per_second, and what 31 bits hold for the others. That is far above
// what makes sense, and sums of several of them do not overflow. ok is false for what is no
// whole number and no boolean, which is 0 or 1.
func (f Field) Bounds() (least, most int64, ok bool) {
	if f.value.Kind() == reflect.Bool {
		return 0, 1, true
	}
	return f.least.whole, f.most.whole, f.value.CanInt()
}

// Most returns the greatest value of a whole number of a Config.
func Most(cfg any, key string) int64 {
	for f := range Fields(cfg) {
		if f.Key == key {
			return f.most.whole
		}
	}
	panic("setting: no setting " + key)
}

// Set gives the setting a value as [Field.Value] returns it, or an array. It checks the type, not the
// bounds.
// REQUIRES: a pointer was walked.
func (f Field) Set(value any) error {
	v := f.value
	switch x := value.(type) {
	case List:
		if isList(v) {
			v.Set(reflect.ValueOf(x))
			return nil
		}
	case []any:
		if isList(v) {
			l, err := listFrom(x)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Key, err)
			}
			v.Set(reflect.ValueOf(l))
			return nil
		}
	case string:
		if v.Kind() == reflect.String && !isList(v) {
			v.SetString(x)
			return nil
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return nil
		}
	case int64:
		if v.CanFloat() {
			v.SetFloat(float64(x))
			return nil
		}
		if v.CanInt() {
			return f.setWhole(x)
		}
	case float64:
		if v.CanFloat() {
			v.SetFloat(x)
			return nil
		}
	}
	if isList(v) {
		return fmt.Errorf("%s: %w", f.Key, errList)
	}
	return fmt.Errorf("%s must be %s, not %s", f.Key, wanted(v.Kind()), written(value))
}

func (f Field) setWhole(n int64) error {
	unit := max(int64(f.unit), 1)
	if n > math.MaxInt64/unit || n < math.MinInt64/unit || f.value.OverflowInt(n*unit) {
		return f.outside(n)
	}
	f.value.SetInt(n * unit)
	return nil
}

func (f Field) outside(n int64) error {
	return &Problem{format: "{" + f.Key + "} must be from %d to %d, not %d", args: []any{f.least.whole, f.most.whole, n}}
}

// check reports a value that is out of its bounds.
func (f Field) check() error {
	switch v := f.value; {
	case isList(v):
		for _, e := range List(v.String()).All() {
			if len(f.oneOf) > 0 && !slices.Contains(f.oneOf, e) {
				return &Problem{format: "{" + f.Key + "} must be of %s, not %q", args: []any{strings.Join(f.oneOf, ", "), e}}
			}
		}
	case len(f.oneOf) > 0 && !slices.Contains(f.oneOf, v.String()):
		return &Problem{format: "{" + f.Key + "} must be one of %s, not %q", args: []any{strings.Join(f.oneOf, ", "), v.String()}}
	case v.CanFloat() && !(v.Float() >= f.least.fraction && v.Float() <= f.most.fraction): // nor NaN
		return &Problem{format: "{" + f.Key + "} must be from %v to %v, not %v", args: []any{f.least.fraction, f.most.fraction, v.Float()}}
	case v.CanInt():
		unit := max(int64(f.unit), 1)
		if n := v.Int(); n < f.least.whole*unit || n > f.most.whole*unit {
			return f.outside(n / unit)
		}
	}
	return nil
}

// setDefault gives the setting its default.
func (f Field) setDefault() error {
	if f.text == "" {
		f.value.SetZero()
		return nil
	}
	v, err := f.parse(f.text)
	if err != nil {
		return fmt.Errorf("default %w", err)
	}
	return f.Set(v)
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

func written(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("the string %q", v)
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	default:
		return fmt.Sprint(v)
	}
}

// Defaults gives every setting of a Config its default, and every other field that states one.
func Defaults[C any](cfg *C) {
	all, err := read(cfg)
	for _, f := range all {
		err = errors.Join(err, f.setDefault())
	}
	if err != nil {
		panic("setting: " + err.Error())
	}
}

// Default returns a Config of defaults.
func Default[C any]() (cfg C) {
	Defaults(&cfg)
	return cfg
}
