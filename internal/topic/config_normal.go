package topic

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxValueBytes bounds a value. Every client that describes the topic is sent it, and every broker
// has it in memory.
const maxValueBytes = 16 << 10

// Normalize validates one value and returns it as it is kept and shown: without
// blanks around it or its items, and with numbers and booleans in one spelling. What is
// taken, and what it becomes, is as Kafka has it. The error is ErrInvalidConfig and says
// what is allowed.
func (c *Config) Normalize(value string) (string, error) {
	if len(value) > maxValueBytes {
		return "", c.invalid(value, fmt.Sprintf("use at most %d bytes", maxValueBytes))
	}
	normal, err := c.normalized(value)
	if err == nil && c.also != nil {
		if hint := c.also(normal); hint != "" {
			err = c.invalid(value, hint)
		}
	}
	return normal, err
}

func (c *Config) normalized(value string) (string, error) {
	switch c.Kind {
	case Boolean:
		b, err := parseBool(value)
		if err != nil {
			return "", c.invalid(value, "use true or false")
		}
		normal := strconv.FormatBool(b)
		if len(c.allowed) > 0 {
			return normal, c.among(value, normal)
		}
		return normal, nil
	case Int, Long:
		n, err := parseInt(value)
		if err != nil || n < c.min || n > c.max {
			return "", c.invalid(value, fmt.Sprintf("use a whole number from %d to %d", c.min, c.max))
		}
		return strconv.FormatInt(n, 10), nil
	case Double:
		f, err := parseDouble(value)
		if err != nil || f < 0 || f > 1 { // NaN is neither
			return "", c.invalid(value, "use a number from 0 to 1")
		}
		return formatDouble(f), nil
	case String:
		normal := trim(value)
		return normal, c.among(value, normal)
	default: // List
		return c.normalizedList(value)
	}
}

func (c *Config) normalizedList(value string) (string, error) {
	if trim(value) == "" {
		if !c.empty {
			return "", c.invalid(value, "name at least one of "+strings.Join(c.allowed, ", "))
		}
		return "", nil
	}
	items := strings.Split(value, ",")
	for i, item := range items {
		items[i] = trim(item)
	}
	if len(c.allowed) == 0 {
		return strings.Join(items, ","), nil
	}
	var distinct []string
	for _, item := range items {
		if err := c.among(value, item); err != nil {
			return "", err
		}
		if !slices.Contains(distinct, item) {
			distinct = append(distinct, item)
		}
	}
	return strings.Join(distinct, ","), nil
}

// among checks one item, or all, of value.
func (c *Config) among(value, item string) error {
	if slices.Contains(c.allowed, item) {
		return nil
	}
	hint := "use " + strings.Join(c.allowed, " or ")
	if c.refusal != "" {
		hint += ": " + c.refusal
	}
	return c.invalid(value, hint)
}

// saidBytes is how much of a value an error repeats.
const saidBytes = 128

func (c *Config) invalid(value, hint string) error {
	if len(value) > saidBytes {
		value = value[:saidBytes] + "..."
	}
	return fmt.Errorf("%w: %s=%q; %s", ErrInvalidConfig, c.Name, value, hint)
}

// SplitList returns the items of a List value, without blanks around them.
func SplitList(value string) []string {
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = trim(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// notZero is for levels that begin at 1 and have -1 for the codec's own default.
func notZero(value string) string {
	if value == "0" {
		return "use -1 or 1 to 9"
	}
	return ""
}

var replicaPair = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)

// throttled is for lists of replicas (KIP-73).
func throttled(value string) string {
	items := strings.Split(value, ",")
	if strings.Join(items, "") == "*" || !slices.ContainsFunc(items, func(i string) bool { return !replicaPair.MatchString(i) }) {
		return ""
	}
	return "use * or a list of partition:broker"
}

// trim removes what Kafka takes for blanks: spaces and control characters.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

func parseInt(s string) (int64, error) { return strconv.ParseInt(trim(s), 10, 64) }

func parseBool(s string) (bool, error) {
	switch s = trim(s); {
	case strings.EqualFold(s, "true"):
		return true, nil
	case strings.EqualFold(s, "false"):
		return false, nil
	}
	return false, strconv.ErrSyntax
}

var (
	decimal     = regexp.MustCompile(`^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?$`)
	hexadecimal = regexp.MustCompile(`^([+-]?0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[fFdD]?$`)
	notANumber  = regexp.MustCompile(`^[+-]?NaN$`)
)

// parseDouble reads a number in the spellings of Java, which Kafka's tools were written
// with: an f or d may follow it, and NaN is one. An infinity is out of bounds anywhere.
func parseDouble(s string) (float64, error) {
	s = trim(s)
	for _, spelling := range [...]*regexp.Regexp{decimal, hexadecimal} {
		if m := spelling.FindStringSubmatch(s); m != nil {
			return strconv.ParseFloat(m[1], 64)
		}
	}
	if notANumber.MatchString(s) {
		return math.NaN(), nil
	}
	return 0, strconv.ErrSyntax
}

// formatDouble writes a number of up to ten million as Java does: with a digit behind the
// point, and with an exponent below a thousandth.
func formatDouble(f float64) string {
	if math.IsNaN(f) || f == 0 || math.Abs(f) >= 1e-3 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.ContainsAny(s, ".N") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e-")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	return mantissa + "E-" + strings.TrimLeft(exponent, "0")
}
