package netlab

import (
	"testing"
	"time"
)

func TestFaultsAreDirectedAndHeal(t *testing.T) {
	s := newLinks(1)
	passes := func(from, to string) bool { return len(s.decide(from, to)) == 1 }
	heal := s.fail(Link{Cut: true}, []Pair{{"a", "b"}})
	if passes("a", "b") || !passes("b", "a") || !passes("a", "c") {
		t.Error("a cut of one direction is one of another, or none")
	}
	both := s.fail(Link{Cut: true}, []Pair{{"a", ""}, {"", "a"}})
	if passes("a", "c") || passes("c", "a") || !passes("b", "c") {
		t.Error("a host that is cut off is not, or another is")
	}
	heal()
	if passes("a", "b") {
		t.Error("another fault was healed too")
	}
	both()
	both() // healing twice is harmless
	if !passes("a", "b") || !passes("a", "c") {
		t.Error("a healed link loses packets")
	}
	if c := s.counts(); c.Lost != 4 || c.Delayed+c.Doubled != 0 {
		t.Errorf("%+v", c)
	}
}

func TestLossDelayAndDoubles(t *testing.T) {
	s := newLinks(1)
	s.fail(Link{Loss: 0.1}, []Pair{{}})
	s.fail(Link{Double: 0.2, Delay: 50 * time.Millisecond, Jitter: 10 * time.Millisecond}, []Pair{{"a", "b"}})
	const n = 20000
	lost, doubled := 0, 0
	for range n {
		copies := s.decide("a", "b")
		switch len(copies) {
		case 0:
			lost++
		case 2:
			doubled++
		}
		for _, d := range copies {
			if d < 50*time.Millisecond || d >= 60*time.Millisecond {
				t.Fatalf("a packet takes %s", d)
			}
		}
	}
	if lost < n*8/100 || lost > n*12/100 || doubled < n*15/100 || doubled > n*21/100 {
		t.Errorf("of %d packets %d were lost and %d doubled", n, lost, doubled)
	}
	if c := s.counts(); c.Lost != int64(lost) || c.Doubled != int64(doubled) || c.Delayed != n-int64(lost) {
		t.Errorf("%+v", c)
	}
}
