//go:build oracle

package oracle

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const listFile = "differences.txt"

// difference is one place in an answer where the brokers say different things.
type difference struct {
	step          string // scenario/step
	path          string
	kafka, sluice string
}

// found maps each difference to the versions in which it was seen.
type found map[difference][]int16

// entry is a line of the list. In a field, `*` matches anything.
type entry struct {
	line     int
	later    bool // written by -update
	fields   [5]string
	from, to int16
	any      bool // matches any version
	used     map[int16]bool
}

// nothing is the value of a path that is missing in a response.
const nothing = "-"

// diff compares two responses and returns both values for each path that differs. Paths below one
// that already differs as a whole are left out; see [below].
func diff(kafka, sluice map[string]string) map[string][2]string {
	out := map[string][2]string{}
	paths := slices.Sorted(maps.Keys(kafka))
	for p := range sluice {
		if _, ok := kafka[p]; !ok {
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		k, inKafka := kafka[p]
		s, inSluice := sluice[p]
		if !inKafka {
			k = nothing
		}
		if !inSluice {
			s = nothing
		}
		if k != s && !below(p, kafka, sluice) {
			out[p] = [2]string{k, s}
		}
	}
	return out
}

// below reports whether path is part of something that already differs as a whole: an element
// that one side lacks, or a struct whose error code differs, which explains the rest.
func below(path string, kafka, sluice map[string]string) bool {
	if path != "answer" && kafka["answer"] != sluice["answer"] {
		return true
	}
	if path != "answer" && path != "ErrorCode" && kafka["ErrorCode"] != sluice["ErrorCode"] {
		return true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' && path[i] != '[' {
			continue
		}
		code := path[:i] + ".ErrorCode"
		if path != code && kafka[code] != sluice[code] {
			return true
		}
		k, inKafka := kafka[path[:i]]
		s, inSluice := sluice[path[:i]]
		if inKafka != inSluice || (k == "null") != (s == "null") {
			return true
		}
	}
	return false
}

// matches reports whether s matches a pattern in which `*` matches any string.
func matches(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		at := strings.Index(s, p)
		if at < 0 {
			return false
		}
		s = s[at+len(p):]
	}
	return true
}

// show formats a value for a line of the list.
func show(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` || strings.Contains(s, " | ") || s == "" || strings.TrimSpace(s) != s {
		s = strings.ReplaceAll(q, " | ", ` \x7c `)
	}
	if len(s) > 160 {
		s = s[:157] + "..."
	}
	return s
}

func (d difference) fields() [4]string {
	return [4]string{d.step, d.path, show(d.kafka), show(d.sluice)}
}

func (e *entry) fits(d difference, version int16) bool {
	if !e.any && (version < e.from || version > e.to) {
		return false
	}
	f := d.fields()
	return matches(e.fields[0], f[0]) && matches(e.fields[2], f[1]) && matches(e.fields[3], f[2]) && matches(e.fields[4], f[3])
}

const (
	onPurpose = "== on purpose"
	notYet    = "== not yet"
	asFound   = "== not yet, as found" // written by -update
)

// parse parses the list: sections, comments that give reasons, and lines with scenario/step,
// versions, path, Kafka's value and Sluice's value.
func parse(text string) (entries []*entry, err error) {
	section := ""
	reason := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case strings.HasPrefix(line, "=="):
			section, reason = line, false
			continue
		case strings.HasPrefix(line, "#"):
			reason = section != ""
			continue
		}
		e := &entry{line: i + 1, later: section == asFound, used: map[int16]bool{}}
		fields := strings.Split(line, " | ")
		if len(fields) != len(e.fields) {
			return nil, fmt.Errorf("line %d has %d fields, not %d", i+1, len(fields), len(e.fields))
		}
		if section != notYet && section != asFound && section != onPurpose {
			return nil, fmt.Errorf("line %d is in no section", i+1)
		}
		if !reason {
			return nil, fmt.Errorf("line %d has no reason above it", i+1)
		}
		copy(e.fields[:], fields)
		if e.any = fields[1] == "*"; !e.any {
			if n, err := fmt.Sscanf(fields[1], "%d-%d", &e.from, &e.to); err != nil || n != 2 {
				return nil, fmt.Errorf("line %d: %q are no versions", i+1, fields[1])
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// ranges merges consecutive versions into spans. It sorts versions.
func ranges(versions []int16) (out []span) {
	slices.Sort(versions)
	for _, v := range versions {
		if n := len(out); n > 0 && out[n-1].max+1 == v {
			out[n-1].max = v
		} else {
			out = append(out, span{v, v})
		}
	}
	return out
}

// lines formats the differences as sorted lines of the list.
func (f found) lines() (out []string) {
	for d, versions := range f {
		s := d.fields()
		for _, r := range ranges(versions) {
			out = append(out, fmt.Sprintf("%s | %d-%d | %s | %s | %s", s[0], r.min, r.max, s[1], s[2], s[3]))
		}
	}
	slices.Sort(out)
	return out
}

// unexplained returns the differences that match no entry; with later, also those that match only
// entries written by -update. It marks the matching entries as used.
func (f found) unexplained(entries []*entry, later bool) found {
	out := found{}
	for d, versions := range f {
		for _, v := range versions {
			known := false
			for _, e := range entries {
				if e.fits(d, v) {
					e.used[v] = true
					known = known || !later || !e.later
				}
			}
			if !known {
				out[d] = append(out[d], v)
			}
		}
	}
	return out
}

// stale reports entries that matched no difference. Unless all scenarios were played, only entries of
// those in played are checked.
func stale(t *testing.T, entries []*entry, played map[string]bool, all bool) {
	t.Helper()
	for _, e := range entries {
		name, _, _ := strings.Cut(e.fields[0], "/")
		if !all && (strings.Contains(name, "*") || !played[name]) {
			continue
		}
		if len(e.used) == 0 {
			t.Errorf("%s:%d no longer differs, take it out: %s", listFile, e.line, strings.Join(e.fields[:], " | "))
			continue
		}
		for v := e.from; !e.any && v <= e.to; v++ {
			if !e.used[v] {
				t.Errorf("%s:%d no longer differs in version %d: %s", listFile, e.line, v, strings.Join(e.fields[:], " | "))
			}
		}
	}
}

// rewrite replaces the list's generated section with the differences in f, and keeps the part
// written by hand.
func rewrite(text string, f found) error {
	head, _, _ := strings.Cut(text, asFound)
	var b strings.Builder
	b.WriteString(strings.TrimSpace(head) + "\n\n" + asFound + "\n")
	last := ""
	for _, line := range f.lines() {
		name, _, _ := strings.Cut(line, "/")
		if name != last {
			fmt.Fprintf(&b, "\n# not yet: %s\n", name)
			last = name
		}
		b.WriteString(line + "\n")
	}
	return os.WriteFile(listFile, []byte(b.String()), 0o644)
}
