package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// log returns what a correct broker would hold after two rounds.
func log(t *testing.T) (*ledger, [][]*kgo.Record) {
	t.Helper()
	l := newLedger(load(t), 3)
	stored := make([][]*kgo.Record, 3)
	for range 2 * len(l.data.events) {
		n, r := l.record(topic)
		r.Partition = int32(len(r.Key) % 3)
		r.Offset = int64(len(stored[r.Partition]))
		stored[r.Partition] = append(stored[r.Partition], r)
		l.acknowledge(n, r, nil)
	}
	return l, stored
}

func TestLedgerAcceptsWhatWasProduced(t *testing.T) {
	l, stored := log(t)
	if err := l.verifyAcks(); err != nil {
		t.Fatal(err)
	}
	for _, p := range stored {
		for _, r := range p {
			if err := l.check(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := l.unread(); n != 0 {
		t.Errorf("%d records unread", n)
	}
}

func TestLedgerSeesWhatIsWrongInReads(t *testing.T) {
	faults := map[string]struct {
		what  string
		fault func(log []*kgo.Record) []*kgo.Record
	}{
		"lost":  {"missing", func(log []*kgo.Record) []*kgo.Record { return append(log[:5:5], log[6:]...) }},
		"twice": {"twice", func(log []*kgo.Record) []*kgo.Record { return append(log[:5:5], log[4:]...) }},
		"stored twice": {"nobody produced", func(log []*kgo.Record) []*kgo.Record {
			again := *log[len(log)-1]
			again.Offset++
			return append(log, &again)
		}},
		"swapped": {"produced was", func(log []*kgo.Record) []*kgo.Record {
			a, b := *log[4], *log[len(log)/2+4] // the same event in both rounds
			a.Headers, b.Headers = b.Headers, a.Headers
			return append(append(log[:4:4], &a), log[5:]...)
		}},
		"other value": {"value", func(log []*kgo.Record) []*kgo.Record {
			r := *log[4]
			r.Value = append([]byte("x"), r.Value[1:]...)
			return append(append(log[:4:4], &r), log[5:]...)
		}},
		"other key": {"key", func(log []*kgo.Record) []*kgo.Record {
			r := *log[4]
			r.Key = []byte("zz/Nowhere")
			return append(append(log[:4:4], &r), log[5:]...)
		}},
		"other partition": {"which there is not", func(log []*kgo.Record) []*kgo.Record {
			r := *log[0]
			r.Partition = 3
			return []*kgo.Record{&r}
		}},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			l, stored := log(t)
			if err := l.verifyAcks(); err != nil {
				t.Fatal(err)
			}
			for _, r := range f.fault(stored[0]) {
				if err := l.check(r); err != nil {
					if !strings.Contains(err.Error(), f.what) {
						t.Errorf("%q does not say %q", err, f.what)
					}
					return
				}
			}
			t.Error("not noticed")
		})
	}
}

func TestLedgerSeesWhatIsWrongInAcknowledgements(t *testing.T) {
	for name, fault := range map[string]func(l *ledger){
		"refused": func(l *ledger) { l.acknowledge(7, nil, errors.New("no")) },
		"never": func(l *ledger) {
			l.record(topic)
		},
		"an offset twice": func(l *ledger) {
			n, r := l.record(topic)
			r.Partition = int32(len(r.Key) % 3)
			l.acknowledge(n, r, nil) // offset 0
		},
		"a gap": func(l *ledger) {
			n, r := l.record(topic)
			r.Partition, r.Offset = int32(len(r.Key)%3), 1<<20
			l.acknowledge(n, r, nil)
		},
		"a key in two partitions": func(l *ledger) {
			n, r := l.record(topic)
			r.Partition = int32(len(r.Key)+1) % 3
			l.acknowledge(n, r, nil)
		},
	} {
		l, _ := log(t)
		fault(l)
		if err := l.verifyAcks(); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestSharesAreEvenOnceAllMembersHaveAllPartitions(t *testing.T) {
	s := newShares(8)
	even := func() bool {
		select {
		case <-s.even:
			return true
		default:
			return false
		}
	}
	s.set(0, 8)
	if even() {
		t.Error("one member has them all")
	}
	s.set(0, 0)
	s.set(1, 4)
	if even() {
		t.Error("half of them are nobody's")
	}
	s.set(0, 4)
	if !even() {
		t.Error("not noticed")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-kill-rounds", "-1"}, {"more"}, {"-what"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v: accepted", args)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
}
