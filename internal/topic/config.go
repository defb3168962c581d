package topic

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

var (
	// ErrUnknownConfig: no topic config has that name.
	ErrUnknownConfig = fault.Refused(kerr.InvalidConfig, "unknown topic config")
	// ErrInvalidConfig: the value is of the wrong type, out of bounds, or asks for
	// something that Sluice does not do.
	ErrInvalidConfig = fault.Refused(kerr.InvalidConfig, "invalid topic config")
)

// Kind is the type of a config's value. The numbers are those of Kafka's
// DescribeConfigs response.
type Kind int8

// The types that topic configs have.
const (
	Boolean Kind = 1
	String  Kind = 2
	Int     Kind = 3
	Long    Kind = 5
	Double  Kind = 6
	List    Kind = 7
)

// Config describes one topic config. Names, types and defaults are Kafka's.
type Config struct {
	Name    string
	Kind    Kind
	Default string
	Unit    string // "ms", "bytes", "records" or empty
	Doc     string // what it does here, one or two sentences
	// Broker is Kafka's name of the broker-wide default.
	Broker string
	// Inert is set for a config that is accepted, since tools and clients set it,
	// but that has nothing to act on in Sluice. Doc says why.
	Inert bool

	// Unset is set where Kafka's broker-wide default has no value of its own but gets it
	// from another unit, so that it is not shown as the source of the topic's value.
	Unset bool

	min, max int64    // bounds of Int and Long
	allowed  []string // values of String and List, or of a Boolean that is fixed
	refusal  string   // why other values than the allowed are refused
	empty    bool     // a List may have no item
	// also returns what else is wrong with a value in its normal form; nil: nothing can be.
	also func(value string) (hint string)
}

// LookupConfig returns the config with that name, or ErrUnknownConfig with the
// nearest name, if there is one that is near.
func LookupConfig(name string) (*Config, error) {
	for i := range table {
		if table[i].Name == name {
			return &table[i], nil
		}
	}
	if near := nearest(name); near != "" {
		return nil, fmt.Errorf("%w %q; the nearest is %s", ErrUnknownConfig, name, near)
	}
	return nil, fmt.Errorf("%w %q", ErrUnknownConfig, name)
}

// Configs returns the description of every topic config, sorted by name. The
// caller must not change it.
func Configs() []Config { return table }

// NormalizeConfigs checks all configs of one topic, each by itself and those that
// bound one another, and returns them in their normal form.
func NormalizeConfigs(set map[string]string) (map[string]string, error) {
	normal := make(map[string]string, len(set))
	for _, name := range slices.Sorted(maps.Keys(set)) {
		c, err := LookupConfig(name)
		if err != nil {
			return nil, err
		}
		if normal[name], err = c.Normalize(set[name]); err != nil {
			return nil, err
		}
	}
	v := Values(normal)
	if low, high := v.Int(MinCompactionLagMs), v.Int(MaxCompactionLagMs); low > high {
		return nil, fmt.Errorf("%w: %s=%d is above %s=%d; lower the one or raise the other",
			ErrInvalidConfig, MinCompactionLagMs, low, MaxCompactionLagMs, high)
	}
	return normal, nil
}

// Values are the configs set for one topic. What is not set has its default;
// nil means that nothing is set. Its methods panic on a name that is not in
// the table, which is a defect of the caller, and give the default for a value
// that NormalizeConfigs would refuse.
type Values map[string]string

// Get returns the value in force.
func (v Values) Get(name string) string {
	if s, ok := v[name]; ok {
		return s
	}
	return mustLookup(name).Default
}

// Int returns the value in force of an Int or Long config.
func (v Values) Int(name string) int64 {
	return parsed(v, name, parseInt)
}

// Bool returns the value in force of a Boolean config.
func (v Values) Bool(name string) bool { return parsed(v, name, parseBool) }

// Float returns the value in force of a Double config.
func (v Values) Float(name string) float64 {
	return parsed(v, name, parseDouble)
}

// Has reports whether item is in the value in force of a List config.
func (v Values) Has(name, item string) bool { return slices.Contains(SplitList(v.Get(name)), item) }

// parsed reads what is set for name, or the default where that is unreadable.
func parsed[T any](v Values, name string, parse func(string) (T, error)) T {
	if s, ok := v[name]; ok {
		if x, err := parse(s); err == nil {
			return x
		}
	}
	x, err := parse(mustLookup(name).Default)
	if err != nil {
		panic("topic: config " + name + " is not of the type asked for")
	}
	return x
}

func mustLookup(name string) *Config {
	c, err := LookupConfig(name)
	if err != nil {
		panic("topic: " + err.Error())
	}
	return c
}

// nearest returns the known name with the smallest edit distance to name; none if that is far.
func nearest(name string) string {
	name = name[:min(len(name), 64)] // longer than all that are known; a request may have thousands
	best, least := "", 1<<30
	for i := range table {
		if d := distance(name, table[i].Name); d < least {
			best, least = table[i].Name, d
		}
	}
	if 2*least > max(len(name), len(best)) { // half of it is another name's
		return ""
	}
	return best
}

// distance is the Levenshtein distance, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
