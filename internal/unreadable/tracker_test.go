package unreadable_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
)

var errBad = errors.New("checksum")

// rig is a tracker with its own clock and metadata.
type rig struct {
	*unreadable.Tracker
	clock   *clock.Manual
	log     bytes.Buffer
	reg     *prometheus.Registry
	forgets map[unreadable.Place]bool // places that the metadata does not refer to
}

func newRig() *rig {
	r := &rig{clock: clock.NewManual(time.Unix(1e9, 0)), reg: prometheus.NewRegistry(), forgets: map[unreadable.Place]bool{}}
	r.Tracker = unreadable.New(unreadable.DefaultConfig(), unreadable.Deps{Clock: r.clock, Registry: r.reg, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Records: func(p unreadable.Place) []unreadable.Records {
			if r.forgets[p] {
				return nil
			}
			return []unreadable.Records{{Topic: "orders", Partition: 3, Base: p.Base, End: p.End}}
		}})
	return r
}

func (r *rig) lines(word string) int { return strings.Count(r.log.String(), word) }

// places returns the number of unreadable places according to the metric.
func (r *rig) places(t *testing.T) (n float64) {
	t.Helper()
	all, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "sluice_unreadable_locations" {
			for _, m := range f.GetMetric() {
				n += m.GetGauge().GetValue()
			}
		}
	}
	return n
}

// attempt does what a reader does: it asks the tracker first, and tries if it may.
func (r *rig) attempt(p unreadable.Place, why unreadable.Reason) error {
	if err := r.Known(p); err != nil {
		return err
	}
	return r.Failed(p, why, errBad)
}

func object(base, end int64) unreadable.Place {
	return unreadable.Place{Object: meta.NewObjectID(), Partition: topic.Partition{Topic: topic.NewID()}, Base: base, End: end}
}

func wal(p topic.Partition, base, end int64) unreadable.Place {
	return unreadable.Place{Partition: p, Base: base, End: end}
}

// Records damaged or missing at each attempt: retriable at first, lasting after the configured
// time, logged twice and then hourly, and over once they are read.
func TestDamageThatLasts(t *testing.T) {
	for _, why := range []unreadable.Reason{unreadable.Missing, unreadable.Damaged} {
		r, p := newRig(), object(10, 20)
		for s := range 120 { // ten clients ask twice a second
			for range 10 {
				err := r.attempt(p, why)
				if !errors.Is(err, unreadable.ErrUnreadable) || !errors.Is(err, errBad) {
					t.Fatal(err)
				}
				if lasting := errors.Is(err, unreadable.ErrLasting); lasting && s < 60 || !lasting && s > 60+2*11 {
					t.Fatalf("%s: lasting is %v after %d s", why, lasting, s/2)
				}
			}
			r.clock.Advance(500 * time.Millisecond)
		}
		if n := r.lines("level=ERROR"); n != 2 {
			t.Errorf("%d lines:\n%s", n, r.log.String())
		}
		for _, want := range []string{"topic=orders", "partition=3", "from_offset=10", "to_offset=19", "object=" + p.Object.String(), "reason=" + why.String()} {
			if r.lines(want) < 2 {
				t.Errorf("no %s in\n%s", want, r.log.String())
			}
		}
		if r.places(t) != 1 {
			t.Errorf("%v places", r.places(t))
		}
		if f := r.Found(); len(f) != 1 || f[0].Reason != why || f[0].Records[0].Base != 10 || !errors.Is(f[0].Err, errBad) {
			t.Errorf("found %+v", f)
		}
		r.Read(p)
		if r.places(t) != 0 || len(r.Found()) != 0 || r.lines("can be read again") != 1 || r.Known(p) != nil {
			t.Errorf("%v places after it was read\n%s", r.places(t), r.log.String())
		}
	}
}

// However long a store denies access or is unavailable, nothing counts as lost, and little is
// logged.
func TestUnavailableStoreLosesNothing(t *testing.T) {
	for _, why := range []unreadable.Reason{unreadable.Denied, unreadable.Unavailable} {
		r := newRig()
		places := make([]unreadable.Place, 20)
		for i := range places {
			places[i] = object(int64(i), int64(i)+1)
		}
		for range 600 {
			for _, p := range places {
				if err := r.attempt(p, why); !errors.Is(err, unreadable.ErrUnreadable) || errors.Is(err, unreadable.ErrLasting) {
					t.Fatal(err)
				}
			}
			r.clock.Advance(time.Second)
		}
		if n := r.lines("level=ERROR"); n < 2 || n > 3 { // once in five minutes
			t.Errorf("%d lines", n)
		}
		if n := r.places(t); n != 0 {
			t.Errorf("%v places", n)
		}
	}
}

// An attempt during an outage of the store neither ends damage nor makes it lasting.
func TestOutageDoesNotAffectDamage(t *testing.T) {
	r, p := newRig(), object(0, 1)
	_ = r.attempt(p, unreadable.Missing)
	r.clock.Advance(time.Hour)
	if err := r.attempt(p, unreadable.Unavailable); errors.Is(err, unreadable.ErrLasting) {
		t.Errorf("store unavailable: %v", err)
	}
	r.clock.Advance(time.Minute)
	if err := r.attempt(p, unreadable.Missing); errors.Is(err, unreadable.ErrLasting) {
		t.Errorf("after two attempts found it missing: %v", err)
	}
	r.clock.Advance(time.Minute)
	if err := r.attempt(p, unreadable.Missing); !errors.Is(err, unreadable.ErrLasting) {
		t.Errorf("after three attempts found it missing: %v", err)
	}
}

// A place that the metadata no longer refers to is not a fault.
func TestUnreferencedPlaceIsNotReported(t *testing.T) {
	r, p := newRig(), object(0, 1)
	r.forgets[p] = true
	if err := r.attempt(p, unreadable.Missing); !errors.Is(err, errBad) || errors.Is(err, unreadable.ErrUnreadable) {
		t.Error(err)
	}
	q := object(0, 1)
	_ = r.attempt(q, unreadable.Missing)
	r.forgets[q] = true
	if r.places(t) != 0 || r.lines("level=ERROR") != 1 {
		t.Errorf("%v places\n%s", r.places(t), r.log.String())
	}
}

// Reading a range of the WAL counts as reading every place within it.
func TestReadOfAWALRangeEndsPlacesWithinIt(t *testing.T) {
	r := newRig()
	a, b := topic.Partition{Topic: topic.NewID()}, topic.Partition{Topic: topic.NewID()}
	inside, behind, other := wal(a, 10, 20), wal(a, 20, 30), wal(b, 10, 20)
	for _, p := range []unreadable.Place{inside, behind, other} {
		_ = r.attempt(p, unreadable.Damaged)
	}
	r.Read(wal(a, 5, 25))
	if r.Known(inside) != nil || r.Known(behind) == nil || r.Known(other) == nil {
		t.Error("want exactly the places within the range to be readable")
	}
}

// However many places are lost, the log lines and the tracked places are bounded.
func TestManyLostPlaces(t *testing.T) {
	r := newRig()
	for minute := range 5 {
		for i := range 300 {
			_ = r.attempt(object(int64(300*minute+i), int64(300*minute+i)+1), unreadable.Missing)
		}
		r.clock.Advance(time.Minute)
	}
	if n := r.lines("level=ERROR"); n != 150 {
		t.Errorf("%d lines in five minutes, want 30 a minute", n)
	}
	if n := r.places(t); n > 1024 {
		t.Errorf("%v places are tracked", n)
	}
	if !strings.Contains(r.log.String(), fmt.Sprintf("lines_left_out=%d", 270)) {
		t.Error("the log does not say how many lines were left out")
	}
}
