package setting

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// around is what the structs around a field say of it.
type around struct {
	table    string // with its dot
	live     string
	defaults map[string]string // by key; what a setting takes goes
	path     []Member
	index    []int
}

// reading collects the settings of a Config.
type reading struct {
	all  []Field
	errs []error
	keys map[string]bool
}

// known has what was read of the tags of a type.
var known sync.Map // reflect.Type: *reading

// read returns the fields of a Config, or of what a pointer points to, that have a key or a default.
func read(cfg any) ([]Field, error) {
	v := reflect.ValueOf(cfg)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	r, ok := known.Load(v.Type())
	if !ok {
		fresh := &reading{keys: make(map[string]bool)}
		fresh.structure(v.Type(), around{})
		r, _ = known.LoadOrStore(v.Type(), fresh)
	}
	all := slices.Clone(r.(*reading).all)
	for i := range all {
		all[i].value = v.FieldByIndex(all[i].index)
	}
	return all, errors.Join(r.(*reading).errs...)
}

func (r *reading) wrong(m Member, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s.%s: %s", m.Struct, m.Name, fmt.Sprintf(format, args...)))
}

func (r *reading) structure(t reflect.Type, in around) {
	for i := range t.NumField() {
		sf := t.Field(i)
		key, isSetting := sf.Tag.Lookup("toml")
		text, hasDefault := sf.Tag.Lookup("default")
		m := Member{Struct: t, Name: sf.Name}
		inside := in
		inside.path = append(in.path[:len(in.path):len(in.path)], m)
		inside.index = append(in.index[:len(in.index):len(in.index)], i)
		switch {
		case !sf.IsExported():
			if isSetting || hasDefault {
				r.wrong(m, "a setting must be exported")
			}
		case sf.Type.Kind() == reflect.Struct && !isSetting:
			r.structure(sf.Type, inside)
		case sf.Type.Kind() == reflect.Struct:
			inside.path[len(inside.path)-1].Table = key
			inside.table, inside.live = in.table+key+".", sf.Tag.Get("live")
			r.table(sf.Type, inside, m, text)
		case isSetting || hasDefault:
			r.leaf(sf, key, inside)
		}
	}
}

// table reads a table, some of whose settings have the defaults of text.
func (r *reading) table(t reflect.Type, in around, m Member, text string) {
	in.defaults = make(map[string]string)
	for kv := range strings.SplitSeq(text, ",") {
		if key, value, ok := strings.Cut(kv, "="); ok {
			in.defaults[key] = value
		} else if kv != "" {
			r.wrong(m, "the defaults of a table are like depth=64,workers=2, not %q", text)
		}
	}
	r.structure(t, in)
	for key := range in.defaults {
		r.wrong(m, "it has a default for %s, which is not in the table or has one of its own", key)
	}
}

func (r *reading) leaf(sf reflect.StructField, key string, in around) {
	m := in.path[len(in.path)-1]
	f := Field{value: reflect.New(sf.Type).Elem(), Path: in.path, index: in.index, text: sf.Tag.Get("default")}
	if key != "" {
		f.Key = in.table + key
		if r.keys[f.Key] {
			r.wrong(m, "there are two settings %s", f.Key)
		}
		r.keys[f.Key] = true
		if text, ok := in.defaults[key]; ok && f.text == "" {
			f.text = text
			delete(in.defaults, key)
		}
	}
	if err := f.read(sf.Tag, key, in.live); err != nil {
		r.wrong(m, "%v", err)
	}
	r.all = append(r.all, f)
}

// read takes in the other tags.
func (f *Field) read(tag reflect.StructTag, key, stage string) error {
	v := f.value
	if v.Type() == reflect.TypeFor[time.Duration]() {
		switch {
		case strings.HasSuffix(key, "_ms") || key == "":
			f.unit = time.Millisecond
		case strings.HasSuffix(key, "_us"):
			f.unit = time.Microsecond
		default:
			return errors.New("the key of a time ends in _ms or _us")
		}
	} else if v.CanInt() && (strings.HasSuffix(key, "_ms") || strings.HasSuffix(key, "_us")) {
		return errors.New("a time is a time.Duration")
	}
	number := v.CanInt() || v.CanFloat()
	if !number && v.Kind() != reflect.String && v.Kind() != reflect.Bool {
		return fmt.Errorf("a setting cannot be a %s", v.Type())
	}
	if err := f.readBounds(tag.Get("range"), key); err != nil {
		return err
	}
	if all := tag.Get("oneof"); all != "" {
		f.oneOf = strings.Split(all, "|")
	}
	switch {
	case (tag.Get("range") != "") != number && key != "":
		return errors.New("numbers, and nothing else, have a range")
	case f.oneOf != nil && v.Kind() != reflect.String:
		return errors.New("only a string is one of several")
	case number && f.text == "":
		return errors.New("it has no default")
	}
	return errors.Join(f.readLive(tag.Get("live"), key, stage), f.verifyDefault())
}

func (f *Field) readLive(live, key, stage string) error {
	if live == "." {
		if live = stage; live == "" {
			return errors.New("no stage is named around it")
		}
	}
	switch part := strings.Split(live, "/"); len(part) {
	case 1:
		f.Live = Place{Stage: live}
		return nil
	case 2:
		f.Live = Place{Stage: live, Limit: key}
	case 3:
		f.Live = Place{Stage: part[0] + "/" + part[1], Limit: part[2]}
	default:
		return fmt.Errorf("live is like write/batch, not %q", live)
	}
	if _, _, ok := f.Bounds(); !ok || key == "" {
		return errors.New("the limits of stages are whole numbers or booleans with a key")
	}
	return nil
}

// verifyDefault reports a default that the setting would not take.
func (f *Field) verifyDefault() error {
	if err := f.setDefault(); err != nil || f.Key == "" {
		return err
	}
	if err := f.check(); err != nil {
		return fmt.Errorf("its default: %w", err)
	}
	return nil
}

// readBounds reads LEAST..MOST.
func (f *Field) readBounds(text, key string) error {
	f.most = number{unitBound(key), math.Inf(1)}
	if text == "" {
		return nil
	}
	least, most, ok := strings.Cut(text, "..")
	if !ok {
		return fmt.Errorf("a range is like 1..10 or 1.., not %q", text)
	}
	for _, end := range []struct {
		text string
		to   *number
	}{{least, &f.least}, {most, &f.most}} {
		if end.text == "" {
			continue
		}
		v, err := f.parse(end.text)
		if err != nil {
			return err
		}
		switch v := v.(type) {
		case int64:
			end.to.whole = v
		case float64:
			end.to.fraction = v
		}
	}
	return nil
}

// unitBound is the greatest value of a key whose range says none.
func unitBound(key string) int64 {
	switch {
	case strings.HasSuffix(key, "_ms"):
		return 10 * 365 * (24 * time.Hour).Milliseconds()
	case strings.HasSuffix(key, "_bytes"), strings.HasSuffix(key, "bytes_per_second"):
		return 1 << 40
	}
	return math.MaxInt32
}

// parse reads a value of a tag, and returns it as it is in a file.
func (f *Field) parse(text string) (any, error) {
	switch v := f.value; {
	case f.unit > 0:
		d, err := parseTime(text)
		if err == nil && d%f.unit != 0 {
			err = fmt.Errorf("%s is not a multiple of %s", text, f.unit)
		}
		return int64(d / f.unit), err
	case isList(v):
		return ListOf(strings.Split(text, ",")...), nil
	case v.CanInt():
		return parseWhole(text)
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		return x, err
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		return b, err
	}
	return text, nil
}

// parseTime reads a time as Go writes it, or a number of days, as in 7d.
func parseTime(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// parseWhole reads a whole number, which may end in Ki, Mi, Gi or Ti.
func parseWhole(text string) (int64, error) {
	for i, suffix := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if digits, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 20) // so that it does not overflow
			return n << (10 * (i + 1)), err
		}
	}
	return strconv.ParseInt(text, 10, 64)
}
