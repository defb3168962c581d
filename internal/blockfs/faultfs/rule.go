package faultfs

import (
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Kind is the kind of an operation.
type Kind string

// The kinds of operations.
const (
	Create  Kind = "create"
	Open    Kind = "open"
	List    Kind = "list"
	Remove  Kind = "remove"
	Rename  Kind = "rename"
	SyncDir Kind = "syncdir"
	Read    Kind = "read"
	Write   Kind = "write"
	Sync    Kind = "sync"
)

var kinds = []Kind{Create, Open, List, Remove, Rename, SyncDir, Read, Write, Sync}

// Op is an operation.
type Op struct {
	Kind Kind
	Name string
}

// rule is one line of an expression.
type rule struct {
	kind        Kind // "*": any
	name        string
	first, last int
	fault       fault
	seen        int // operations that matched
}

// fault is what happens to an operation. The zero value is no fault.
type fault struct {
	err   error
	late  bool // after the operation was done
	short bool
	slow  time.Duration
}

// System errors by name.
var errnos = map[string]syscall.Errno{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "EROFS": syscall.EROFS,
	"EDQUOT": syscall.EDQUOT, "EAGAIN": syscall.EAGAIN, "EINVAL": syscall.EINVAL}

// parse reads an expression.
func parse(expression string) ([]*rule, error) {
	var rules []*rule
	for line := range strings.FieldsFuncSeq(expression, func(r rune) bool { return r == ';' || r == '\n' }) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		r, err := parseRule(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("fault rule %q: %w", strings.TrimSpace(line), err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(words []string) (r *rule, err error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("want KIND NAME [#WHICH] FAULT")
	}
	r = &rule{kind: Kind(words[0]), name: words[1], first: 1, last: math.MaxInt}
	if r.kind != "*" && !slices.Contains(kinds, r.kind) {
		return nil, fmt.Errorf("%q is none of %v", r.kind, kinds)
	}
	if _, err := path.Match(r.name, ""); err != nil {
		return nil, err
	}
	rest := words[2:]
	if which, ok := strings.CutPrefix(rest[0], "#"); ok {
		if r.first, r.last, err = parseWhich(which); err != nil {
			return nil, err
		}
		rest = rest[1:]
	}
	r.fault, err = parseFault(rest)
	return r, err
}

// parseWhich parses N, N+ or N-M.
func parseWhich(s string) (first, last int, err error) {
	from, to, isRange := strings.Cut(s, "-")
	from, open := strings.CutSuffix(from, "+")
	if first, err = strconv.Atoi(from); err != nil {
		return 0, 0, err
	}
	switch {
	case isRange:
		last, err = strconv.Atoi(to)
	case open:
		last = math.MaxInt
	default:
		last = first
	}
	if err == nil && (first < 1 || last < first) {
		err = fmt.Errorf("#%s selects nothing", s)
	}
	return first, last, err
}

func parseFault(words []string) (f fault, err error) {
	late := len(words) == 2 && words[0] == "late"
	switch {
	case len(words) == 1 && words[0] == "short":
		return fault{short: true, err: io.ErrShortWrite}, nil
	case len(words) == 2 && words[0] == "slow":
		f.slow, err = time.ParseDuration(words[1])
		return f, err
	case len(words) == 1 || late:
		name := words[len(words)-1]
		errno, ok := errnos[name]
		if !ok {
			return f, fmt.Errorf("unknown error number %q", name)
		}
		f = fault{err: errno, late: late}
		if errno == syscall.ENOSPC || errno == syscall.EDQUOT {
			f.err = fmt.Errorf("%w: %w", blockfs.ErrNoSpace, errno)
		}
		return f, nil
	}
	return f, fmt.Errorf("want an error number, late and an error number, short, or slow and a duration")
}

// match counts op if it matches, and reports whether the rule applies.
func (r *rule) match(op Op) bool {
	if r.kind != "*" && r.kind != op.Kind {
		return false
	}
	if ok, _ := path.Match(r.name, op.Name); !ok {
		return false
	}
	r.seen++
	return r.seen >= r.first && r.seen <= r.last
}
