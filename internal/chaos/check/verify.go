package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is a promise that was broken.
type Kind string

// The kinds of violation.
const (
	Lost      Kind = "lost"      // acknowledged, and nowhere
	Doubled   Kind = "doubled"   // there more than once
	Reordered Kind = "reordered" // behind a record that was sent after it
	Moved     Kind = "moved"     // acknowledged at another offset
	Changed   Kind = "changed"   // not the bytes that were sent
	Foreign   Kind = "foreign"   // nobody sent it to this partition
	Gap       Kind = "gap"       // an offset without a record
	Unstable  Kind = "unstable"  // a reader got something else, or more
)

// Result of a comparison.
type Result struct {
	Records  int64 // in the log
	Acked    int64
	Attempts int64 // in the log, never acknowledged
	Seen     int64 // offsets that readers got during the run
	Broken   map[Kind]int64
	Examples []string // the first few
}

const mostExamples = 20

// Err returns nil if every promise was kept.
func (r Result) Err() error {
	if len(r.Broken) == 0 {
		return nil
	}
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(r.Broken)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", r.Broken[k], k))
	}
	return fmt.Errorf("the log broke its promises: %s of %d acknowledged records\n%s",
		strings.Join(kinds, ", "), r.Acked, strings.Join(r.Examples, "\n"))
}

func (r *Result) broke(k Kind, format string, args ...any) {
	if r.Broken == nil {
		r.Broken = make(map[Kind]int64)
	}
	r.Broken[k]++
	if len(r.Examples) < mostExamples {
		r.Examples = append(r.Examples, string(k)+": "+fmt.Sprintf(format, args...))
	}
}

// Verifier compares the log of one partition with a ledger that no longer changes.
type Verifier struct {
	run       uint64
	partition int32
	ledger    *partition
	result    *Result

	next     int64   // offset expected
	last     int64   // number of the last record
	found    []bool  // by number
	atOffset []int64 // by offset: the number acknowledged there, or notAcked
}

// Verify starts the comparison of a partition, whose violations go to r.
func (l *Ledger) Verify(p int32, r *Result) *Verifier {
	s := &l.partitions[p]
	v := &Verifier{run: l.run, partition: p, ledger: s, result: r, last: -1, found: make([]bool, len(s.acked))}
	for number, offset := range s.acked {
		if offset == notAcked {
			continue
		}
		r.Acked++
		if offset < 0 {
			continue
		}
		for int64(len(v.atOffset)) <= offset {
			v.atOffset = append(v.atOffset, notAcked)
		}
		if other := v.atOffset[offset]; other != notAcked {
			r.broke(Moved, "partition %d: records %d and %d were both acknowledged at offset %d", p, other, number, offset)
		}
		v.atOffset[offset] = int64(number)
	}
	return v
}

// Record takes the records of the log, one after the other.
func (v *Verifier) Record(offset int64, value []byte) {
	v.result.Records++
	if offset != v.next {
		v.result.broke(Gap, "partition %d: offset %d follows %d", v.partition, offset, v.next-1)
	}
	v.next = offset + 1
	number := v.number(offset, value)
	if want := at(v.atOffset, offset); want != notAcked && want != number {
		v.result.broke(Changed, "partition %d, offset %d: record %d was acknowledged here, %s is here", v.partition, offset, want, name(number))
	}
	if seen := at(v.ledger.seen, offset); seen != notSeen && seen != number {
		v.result.broke(Unstable, "partition %d, offset %d: a reader got %s, now it is %s", v.partition, offset, name(seen), name(number))
	}
	if number >= 0 {
		v.place(offset, number)
	}
}

// number returns that of a record of this partition, or unreadable.
func (v *Verifier) number(offset int64, value []byte) int64 {
	id, err := ParseValue(value)
	switch {
	case err != nil:
		v.result.broke(Changed, "partition %d, offset %d: %v", v.partition, offset, err)
	case id.Run != v.run || id.Partition != v.partition || id.Number >= int64(len(v.found)):
		v.result.broke(Foreign, "partition %d, offset %d: record %d of partition %d, run %x", v.partition, offset, id.Number, id.Partition, id.Run)
	default:
		return id.Number
	}
	return unreadable
}

// place checks a record against its acknowledgement and its neighbours.
func (v *Verifier) place(offset, number int64) {
	acked := v.ledger.acked[number]
	switch {
	case v.found[number]:
		v.result.broke(Doubled, "partition %d: record %d is at offset %d again", v.partition, number, offset)
		return
	case number < v.last:
		v.result.broke(Reordered, "partition %d: record %d, at offset %d, follows %d", v.partition, number, offset, v.last)
	case acked >= 0 && acked != offset:
		v.result.broke(Moved, "partition %d: record %d was acknowledged at offset %d and is at %d", v.partition, number, acked, offset)
	case acked == notAcked:
		v.result.Attempts++
	}
	v.found[number] = true
	v.last = max(v.last, number)
}

// End reports what the log did not have.
func (v *Verifier) End() {
	for number, offset := range v.ledger.acked {
		if offset != notAcked && !v.found[number] {
			v.result.broke(Lost, "partition %d: record %d, acknowledged at offset %d, in a log of %d", v.partition, number, offset, v.next)
		}
	}
	for offset, number := range v.ledger.seen {
		if number == notSeen {
			continue
		}
		v.result.Seen++
		if int64(offset) >= v.next {
			v.result.broke(Unstable, "partition %d: a reader got %s at offset %d, the log ends at %d", v.partition, name(number), offset, v.next)
		}
	}
}

func at(s []int64, i int64) int64 {
	if i < int64(len(s)) {
		return s[i]
	}
	return -1 // notAcked and notSeen
}

func name(number int64) string {
	if number < 0 {
		return "nothing of this run"
	}
	return fmt.Sprintf("record %d", number)
}
