package setting

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// List is the value of a setting that is an array of strings in the file. It can be compared, like
// all values of settings. Its elements are not empty and have no line breaks.
type List string

// ListOf returns a list of elements.
func ListOf(elements ...string) List { return List(strings.Join(elements, "\n")) }

// All returns the elements.
func (l List) All() []string {
	if l == "" {
		return nil
	}
	return strings.Split(string(l), "\n")
}

// Has reports whether an element is in the list.
func (l List) Has(element string) bool { return slices.Contains(l.All(), element) }

// String returns the list as TOML has it.
func (l List) String() string {
	quoted := l.All()
	for i, e := range quoted {
		quoted[i] = fmt.Sprintf("%q", e)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// MarshalJSON returns an array.
func (l List) MarshalJSON() ([]byte, error) { return json.Marshal(append([]string{}, l.All()...)) }

var errList = errors.New("it must be an array of strings in quotes, such as [\"a\", \"b\"], none of them empty")

// listFrom returns the list that a file has as an array.
func listFrom(array []any) (List, error) {
	all := make([]string, len(array))
	for i, v := range array {
		s, ok := v.(string)
		if !ok || s == "" || strings.ContainsAny(s, "\r\n") {
			return "", errList
		}
		all[i] = s
	}
	return ListOf(all...), nil
}

func isList(v reflect.Value) bool { return v.Type() == reflect.TypeFor[List]() }
