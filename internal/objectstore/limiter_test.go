package objectstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

func testLimiter(floor, top int) *limiter {
	return newLimiter(floor, top, newMetrics(prometheus.NewRegistry()))
}

func take1(t *testing.T, l *limiter, read bool) permit {
	t.Helper()
	p, err := l.acquire(context.Background(), read)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLimitHalvesOncePerRound(t *testing.T) {
	l := testLimiter(2, 64)
	var round []permit
	for range 40 {
		round = append(round, take1(t, l, true))
	}
	for _, p := range round {
		l.release(p, congested)
	}
	if l.limit != 32 {
		t.Errorf("limit is %d after 40 throttled requests of one round", l.limit)
	}
	for range 10 {
		l.release(take1(t, l, true), congested)
	}
	if l.limit != 2 {
		t.Errorf("limit %d below or above its floor", l.limit)
	}
}

func TestLimitGrowsByOneARound(t *testing.T) {
	l := testLimiter(4, 64)
	for range 10 {
		l.release(take1(t, l, true), congested)
	}
	fill := func() {
		var round []permit
		for range l.limit {
			round = append(round, take1(t, l, true))
		}
		for _, p := range round[:l.limit/2+1] { // while at least half of the limit is in use
			l.release(p, succeeded)
		}
		for _, p := range round[l.limit/2+1:] {
			l.release(p, neutral)
		}
	}
	before := l.limit
	fill()
	fill()
	if l.limit != before+1 {
		t.Errorf("the limit went from %d to %d", before, l.limit)
	}
	for range 1000 {
		l.release(take1(t, l, true), succeeded)
	}
	if l.limit > before+1 && l.limit > 2 {
		t.Errorf("one request at a time raised the limit to %d", l.limit)
	}
}

func TestReadsGoFirstAndWritesGetTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testLimiter(1, 1)
		held := take1(t, l, true)
		order := make(chan bool, 100)
		permits := make(chan permit, 100)
		wait := func(read bool, n int) {
			for range n {
				go func() {
					p, err := l.acquire(context.Background(), read)
					if err != nil {
						t.Error(err)
					}
					order <- read
					permits <- p
				}()
				synctest.Wait()
			}
		}
		wait(false, 2)
		wait(true, 2*fairShare)
		l.release(held, neutral)
		var writes []int
		for i := range 2*fairShare + 2 {
			if !<-order {
				writes = append(writes, i)
			}
			l.release(<-permits, neutral)
		}
		if len(writes) != 2 || writes[0] != fairShare-1 || writes[1] != 2*fairShare-1 {
			t.Errorf("writes were granted at %v", writes)
		}
	})
}

func TestWritesLeaveRoomForReads(t *testing.T) {
	l := testLimiter(1, 8)
	for range 6 {
		take1(t, l, false)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := l.acquire(ctx, false)
		done <- err
	}()
	take1(t, l, true)
	take1(t, l, true)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a seventh of eight permits went to a write: %v", err)
	}
	if len(l.writes) != 0 || l.inFlight != 8 {
		t.Errorf("%d writes waiting, %d requests in flight", len(l.writes), l.inFlight)
	}
}

// TestLimiterModel checks the invariants in random histories.
func TestLimiterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		floor := rapid.IntRange(1, 4).Draw(t, "floor")
		l := testLimiter(floor, floor+rapid.IntRange(0, 12).Draw(t, "more"))
		var held []permit
		var waiting []chan permit
		check := func() {
			if l.limit < l.floor || l.limit > l.top {
				t.Fatalf("limit %d outside [%d, %d]", l.limit, l.floor, l.top)
			}
			if l.inFlight != len(held) {
				t.Fatalf("%d in flight, %d held", l.inFlight, len(held))
			}
			if len(l.reads) > 0 && l.fits(true) || len(l.writes) > 0 && l.fits(false) {
				t.Fatal("a request waits although it fits")
			}
		}
		collect := func() {
			for i := 0; i < len(waiting); {
				select {
				case p := <-waiting[i]:
					held = append(held, p)
					waiting = append(waiting[:i], waiting[i+1:]...)
				default:
					i++
				}
			}
			check()
		}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				read := rapid.Bool().Draw(t, "read")
				l.mu.Lock()
				if l.fits(read) {
					held = append(held, l.admit(read))
				} else {
					turn := make(chan permit, 1)
					q := l.queue(read)
					*q = append(*q, turn)
					waiting = append(waiting, turn)
				}
				l.mu.Unlock()
			},
			"release": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "i")
				before := l.inFlight
				p := held[i]
				held = append(held[:i], held[i+1:]...)
				l.release(p, outcome(rapid.IntRange(0, 2).Draw(t, "outcome")))
				if before == 0 {
					t.Fatal("released nothing")
				}
			},
			"": func(*rapid.T) { collect() },
		})
	})
}
