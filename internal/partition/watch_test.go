package partition

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicemq/sluice/internal/topic"
)

// calls counts wake-ups.
type calls struct{ atomic.Int64 }

func (c *calls) Moved() { c.Add(1) }

// appendTo appends a batch of one offset and the given number of bytes, and publishes it.
func appendTo(s *State, size int32) {
	base := s.HighWatermark()
	s.Tail.Append(Entry{Base: base, Size: size, Count: 1})
	s.Publish(base + 1)
}

func newWatched() *State { return NewState(topic.Partition{Topic: topic.NewID()}, 1, 0, 0) }

func TestWatchWakesOnceWhenEnoughHasCome(t *testing.T) {
	s := newWatched()
	var w Watch
	var told calls
	m := s.Mark()
	appendTo(s, 10)
	if s.Arm(&w, &told, m, 11) {
		t.Fatal("11 bytes were reported, want 10")
	}
	if !s.Arm(new(Watch), &told, m, 10) {
		t.Error("not woken for 10 bytes since the mark")
	}
	appendTo(s, 1)
	appendTo(s, 100)
	if told.Load() != 1 || w.Armed() {
		t.Errorf("woken %d times, armed: %v", told.Load(), w.Armed())
	}
	for i, n := range []int64{100, 50, 70} { // the lowest counts
		if s.Arm(&w, &told, s.Mark(), n) {
			t.Fatalf("watch %d: woken at once", i)
		}
	}
	appendTo(s, 49)
	if told.Load() != 1 {
		t.Error("woken after 49 of 50 bytes")
	}
	appendTo(s, 1)
	if told.Load() != 2 {
		t.Error("not woken after 50 bytes")
	}
	s.Arm(&w, &told, s.Mark(), 1)
	s.Disarm(&w)
	s.Disarm(&w)
	appendTo(s, 1)
	if told.Load() != 2 {
		t.Error("woken although disarmed")
	}
}

// Any change other than an append wakes every watch, whether armed before or after it.
func TestWatchWakesOnEveryChange(t *testing.T) {
	for name, change := range map[string]func(*State){
		"epoch":            func(s *State) { s.SetEpoch(2) },
		"log start":        func(s *State) { s.SetLogStart(1) },
		"damage":           func(s *State) { s.Lose(errors.New("torn")) },
		"deletion":         func(s *State) { s.Delete() },
		"no known bytes":   func(s *State) { s.Publish(5) },
		"a part is hidden": func(s *State) { s.Tail.Append(Entry{Base: 1, Size: 9, Count: 2}); s.Publish(2) },
	} {
		s := newWatched()
		appendTo(s, 1)
		var w Watch
		var told calls
		m := s.Mark()
		s.Arm(&w, &told, m, 1<<40)
		change(s)
		if told.Load() != 1 {
			t.Errorf("%s: woken %d times", name, told.Load())
		}
		if !s.Arm(&w, &told, m, 1<<40) {
			t.Errorf("%s: a watch armed with an earlier mark misses it", name)
		}
	}
	s := newWatched()
	var w Watch
	var told calls
	s.Arm(&w, &told, s.Mark(), 1<<40)
	s.SetEpoch(1)
	s.SetLogStart(0)
	s.Publish(0)
	if told.Load() != 0 {
		t.Error("woken although nothing changed")
	}
}

// Records hidden at one publish count when they become visible, even without an append.
func TestWatchWakesWhenHiddenRecordsBecomeVisible(t *testing.T) {
	s := newWatched()
	s.Tail.Append(Entry{Base: 0, Size: 10, Count: 1})
	s.Tail.Append(Entry{Base: 1, Size: 10, Count: 1})
	s.Publish(1)
	var w Watch
	var told calls
	s.Arm(&w, &told, s.Mark(), 10)
	s.Publish(2)
	if told.Load() != 1 {
		t.Error("not woken for 10 bytes")
	}
}

// However appends and watches interleave, no wake-up is lost: in the end each watcher has
// been woken for all bytes, in steps of its own choice.
func TestNoWakeIsLost(t *testing.T) {
	const appends, watchers = 3000, 8
	s := newWatched()
	var all sync.WaitGroup
	for g := range uint64(watchers) {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, g))
			var w Watch
			c := make(moved, 1)
			for seen := int64(0); seen < appends; {
				m := s.Mark()
				seen = s.HighWatermark() // one byte each
				n := 1 + rng.Int64N(5)
				if seen+n > appends {
					n = max(1, appends-seen)
				}
				if seen == appends || s.Arm(&w, c, m, n) {
					continue
				}
				if rng.IntN(10) == 0 {
					s.Disarm(&w)
					continue
				}
				<-c
			}
			s.Disarm(&w)
		})
	}
	for range appends {
		appendTo(s, 1)
	}
	all.Wait()
	if n := len(s.watches.heap); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

type moved chan struct{}

func (m moved) Moved() {
	select {
	case m <- struct{}{}:
	default:
	}
}

// BenchmarkPublishBesideWatches measures an append while watches wait for far more bytes.
func BenchmarkPublishBesideWatches(b *testing.B) {
	s := newWatched()
	var told calls
	ws := make([]Watch, 10_000)
	for i := range ws {
		s.Arm(&ws[i], &told, s.Mark(), 1<<60)
	}
	for b.Loop() {
		appendTo(s, 100)
	}
	if told.Load() != 0 {
		b.Error("some were told")
	}
}
