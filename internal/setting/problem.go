package setting

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
)

// Problem is an error about settings that names their keys.
type Problem struct {
	table  string // before the keys
	format string // keys in braces
	args   []any
}

var braced = regexp.MustCompile(`\{([a-z0-9_.]+)\}`)

func (p *Problem) Error() string {
	return fmt.Sprintf(braced.ReplaceAllString(p.format, p.table+"$1"), p.args...)
}

// Problems collects what is wrong with settings. The zero value has none.
type Problems struct{ all []error }

// Require notes a problem unless ok. Keys in the format are in braces, as in
// "{max_bytes} (%d) must not be below {target_bytes} (%d)".
func (p *Problems) Require(ok bool, format string, args ...any) {
	if !ok {
		p.all = append(p.all, &Problem{format: format, args: args})
	}
}

// NotBelow requires that a setting is not below another.
func (p *Problems) NotBelow(key string, value int64, other string, least int64) {
	p.Require(value >= least, "{"+key+"} (%d) must not be below {"+other+"} (%d)", value, least)
}

// Address requires HOST:PORT, or nothing.
func (p *Problems) Address(key, value string) {
	if value == "" {
		return
	}
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	p.Require(err == nil, "{"+key+"} must be HOST:PORT, such as 127.0.0.1:9092, or empty, not %q", value)
}

// Add takes in an error, if it is one.
func (p *Problems) Add(err error) {
	if err != nil {
		p.all = append(p.all, err)
	}
}

// Err returns all problems, nil if there are none.
func (p *Problems) Err() error { return errors.Join(p.all...) }

// Check reports settings of a Config that are out of their bounds, and what the Validate of
// its parts reports.
func Check(cfg any) error {
	var p Problems
	for f := range Fields(cfg) {
		p.Add(f.check())
	}
	v := reflect.ValueOf(cfg)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	parts(v, "", func(table string, part interface{ Validate() error }) { p.add(inTable(part.Validate(), table)) })
	return p.Err()
}

// parts visits the structs in v that can be validated.
func parts(v reflect.Value, table string, visit func(table string, part interface{ Validate() error })) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() || sf.Type.Kind() != reflect.Struct {
			continue
		}
		in := table
		if key := sf.Tag.Get("toml"); key != "" {
			in += key + "."
		}
		if part, ok := v.Field(i).Interface().(interface{ Validate() error }); ok {
			visit(in, part)
		}
		parts(v.Field(i), in, visit)
	}
}

// add takes in errors that are not there yet: parts of a part are validated with both.
func (p *Problems) add(errs []error) {
	for _, err := range errs {
		if !slices.ContainsFunc(p.all, func(have error) bool { return have.Error() == err.Error() }) {
			p.all = append(p.all, err)
		}
	}
}

// inTable returns the errors that err consists of, with the table before their keys.
func inTable(err error, table string) (all []error) {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range many.Unwrap() {
			all = append(all, inTable(err, table)...)
		}
		return all
	}
	if p, ok := err.(*Problem); ok { //nolint:errorlint // one that is wrapped has a text of its own
		return []error{&Problem{table + p.table, p.format, p.args}}
	}
	return []error{err}
}
