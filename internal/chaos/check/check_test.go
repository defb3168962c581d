package check_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/chaos/check"
)

type entry struct {
	offset int64
	value  []byte
}

// run is a partition whose records 0 to 9 were sent; all were acknowledged at their offsets,
// except 4, which is in the log nevertheless, and 7, which is not. Record 9 was acknowledged
// without an offset. A reader got the first six records.
func run(t *testing.T) (*check.Ledger, []entry) {
	t.Helper()
	l := check.NewLedger(77, 2)
	var log []entry
	for n := range int64(10) {
		id := l.Next(1)
		if id.Number != n {
			t.Fatalf("record %d has number %d", n, id.Number)
		}
		offset := int64(len(log))
		switch n {
		case 4:
		case 7:
			continue
		case 9:
			l.Acked(id, -1)
		default:
			l.Acked(id, offset)
		}
		log = append(log, entry{offset, check.Value(id, 100)})
	}
	for _, e := range log[:6] {
		if l.Seen(1, e.offset, e.value) {
			t.Fatal("a first reading contradicts another")
		}
	}
	return l, log
}

func verify(l *check.Ledger, log []entry) check.Result {
	var r check.Result
	l.Verify(0, &r).End()
	v := l.Verify(1, &r)
	for _, e := range log {
		v.Record(e.offset, e.value)
	}
	v.End()
	return r
}

func TestAFaultlessLogPasses(t *testing.T) {
	l, log := run(t)
	r := verify(l, log)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Records != 9 || r.Acked != 8 || r.Attempts != 1 || r.Seen != 6 {
		t.Errorf("%+v", r)
	}
	if sent, acked := l.Counts(); sent != 10 || acked != 8 {
		t.Errorf("sent %d, acknowledged %d", sent, acked)
	}
}

// renumber gives the entries of a log the offsets that they would have had.
func renumber(log []entry) []entry {
	for i := range log {
		log[i].offset = int64(i)
	}
	return log
}

// Each way in which a log can be wrong is noticed as what it is.
func TestEachMutationIsNoticed(t *testing.T) {
	for name, tc := range map[string]struct {
		mutate func(l *check.Ledger, log []entry) []entry
		want   check.Kind
	}{
		"an acknowledged record at the end is lost":    {func(_ *check.Ledger, log []entry) []entry { return log[:8] }, check.Lost},
		"an acknowledged record in the middle is lost": {func(_ *check.Ledger, log []entry) []entry { return renumber(append(log[:6:6], log[7:]...)) }, check.Lost},
		"the whole log is lost":                        {func(*check.Ledger, []entry) []entry { return nil }, check.Lost},
		"an offset is skipped":                         {func(_ *check.Ledger, log []entry) []entry { return append(log[:6:6], log[7:]...) }, check.Gap},
		"the last record is there twice":               {func(_ *check.Ledger, log []entry) []entry { return renumber(append(log, log[8])) }, check.Doubled},
		"an unacknowledged record is there twice":      {func(_ *check.Ledger, log []entry) []entry { return renumber(append(log, log[4])) }, check.Doubled},
		"two records are exchanged":                    {func(_ *check.Ledger, log []entry) []entry { log[6], log[7] = log[7], log[6]; return renumber(log) }, check.Reordered},
		"a record of unknown offset is too early":      {func(_ *check.Ledger, log []entry) []entry { log[8], log[7] = log[7], log[8]; return renumber(log) }, check.Reordered},
		"records move":                                 {func(_ *check.Ledger, log []entry) []entry { return renumber(append(log[:4:4], log[5:]...)) }, check.Moved},
		"one offset is given to two records":           {func(l *check.Ledger, log []entry) []entry { l.Acked(l.Next(1), 3); return log }, check.Moved},
		"a bit of an acknowledged record flips":        {func(_ *check.Ledger, log []entry) []entry { log[7].value[50] ^= 1; return log }, check.Changed},
		"a bit of an unacknowledged record flips":      {func(_ *check.Ledger, log []entry) []entry { log[4].value[30] ^= 8; return log }, check.Changed},
		"a value is cut":                               {func(_ *check.Ledger, log []entry) []entry { log[7].value = log[7].value[:99]; return log }, check.Changed},
		"a value is empty":                             {func(_ *check.Ledger, log []entry) []entry { log[7].value = nil; return log }, check.Changed},
		"an acknowledged offset has another record":    {func(_ *check.Ledger, log []entry) []entry { log[8], log[5] = log[5], log[8]; return renumber(log) }, check.Changed},
		"a record of another run": {func(_ *check.Ledger, log []entry) []entry {
			return append(log, entry{9, check.Value(check.ID{Run: 78, Partition: 1, Number: 3}, 100)})
		}, check.Foreign},
		"a record of another partition": {func(_ *check.Ledger, log []entry) []entry {
			return append(log, entry{9, check.Value(check.ID{Run: 77, Number: 3}, 100)})
		}, check.Foreign},
		"a record that was never sent": {func(_ *check.Ledger, log []entry) []entry {
			return append(log, entry{9, check.Value(check.ID{Run: 77, Partition: 1, Number: 10}, 100)})
		}, check.Foreign},
		"a reader got what is gone":                      {func(l *check.Ledger, log []entry) []entry { l.Seen(1, 9, log[3].value); return log }, check.Unstable},
		"an unacknowledged record that was read is gone": {func(_ *check.Ledger, log []entry) []entry { return renumber(append(log[:4:4], log[5:]...)) }, check.Unstable},
	} {
		t.Run(name, func(t *testing.T) {
			l, log := run(t)
			r := verify(l, tc.mutate(l, log))
			if r.Broken[tc.want] == 0 || r.Err() == nil {
				t.Errorf("want %s, got %v", tc.want, r.Err())
			}
		})
	}
}

func TestAReaderThatContradictsAnother(t *testing.T) {
	l, log := run(t)
	if l.Seen(1, 3, log[3].value) || !l.Seen(1, 3, log[2].value) {
		t.Error("the same is a contradiction, or another is not")
	}
}

func TestValue(t *testing.T) {
	id := check.ID{Run: 1 << 60, Partition: 9, Number: 1 << 40}
	for _, size := range []int{0, check.MinValueBytes, 1024} {
		got, err := check.ParseValue(check.Value(id, size))
		if err != nil || got != id {
			t.Errorf("%d bytes: %+v, %v", size, got, err)
		}
	}
	if bytes.Equal(check.Value(check.ID{Number: 1}, 64)[20:60], check.Value(check.ID{Number: 2}, 64)[20:60]) {
		t.Error("two records have the same filler")
	}
}

func TestOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := check.NewOutages(3, time.Now)
		time.Sleep(time.Hour)
		o.Begin() // what was before does not count
		for i := range 100 {
			time.Sleep(10 * time.Millisecond)
			if i < 20 || i > 60 {
				o.Acked(0)
			}
			o.Acked(1)
		}
		if o.Flowing(time.Second) {
			t.Error("partition 2 never had an acknowledgement")
		}
		o.Acked(2)
		if !o.Flowing(time.Second) {
			t.Error("all had one a moment ago")
		}
		time.Sleep(2 * time.Second)
		got := o.Longest()
		if got[0] != 2*time.Second || got[1] != 2*time.Second || got[2] != 2*time.Second || o.Flowing(time.Second) {
			t.Errorf("an outage that lasts does not count: %v", got)
		}
		o.Begin()
		time.Sleep(time.Millisecond)
		o.Acked(0)
		time.Sleep(420 * time.Millisecond)
		o.Acked(0)
		if got := o.Longest(); got[0] != 420*time.Millisecond || got[1] != 421*time.Millisecond {
			t.Errorf("%v", got)
		}
	})
}

func TestDistribute(t *testing.T) {
	var values []time.Duration
	for i := range 50 {
		values = append(values, time.Duration(50-i)*time.Second)
	}
	if d := check.Distribute(values); d.Count != 50 || d.P50 != 25*time.Second || d.P99 != 50*time.Second || d.Max != 50*time.Second {
		t.Errorf("%+v", d)
	}
	if d := check.Distribute(values[:1]); d.P50 != 50*time.Second || d.P99 != d.Max {
		t.Errorf("%+v", d)
	}
	if d := check.Distribute(nil); d.Count != 0 || d.Max != 0 {
		t.Errorf("%+v", d)
	}
}
