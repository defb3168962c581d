package netlab

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Link is what happens to packets from one host to another.
type Link struct {
	Cut    bool          // all are lost
	Loss   float64       // this fraction is lost
	Double float64       // this fraction arrives twice
	Delay  time.Duration // each takes this long,
	Jitter time.Duration // and up to this much longer, so that packets overtake each other
}

// plus returns a link that suffers from both.
func (l Link) plus(m Link) Link {
	return Link{Cut: l.Cut || m.Cut, Loss: 1 - (1-l.Loss)*(1-m.Loss), Double: 1 - (1-l.Double)*(1-m.Double),
		Delay: l.Delay + m.Delay, Jitter: l.Jitter + m.Jitter}
}

// Pair is a direction: packets of one host to another. An empty name means every host.
type Pair struct{ From, To string }

func (p Pair) matches(from, to string) bool {
	return (p.From == "" || p.From == from) && (p.To == "" || p.To == to)
}

// links are the faults of a network and their effect. It is safe for concurrent use.
type links struct {
	mu     sync.Mutex
	rng    *rand.Rand
	faults map[int]fault
	next   int
	count  Counts
}

type fault struct {
	pairs []Pair
	link  Link
}

// Counts of packets.
type Counts struct{ Passed, Lost, Delayed, Doubled int64 }

func newLinks(seed uint64) *links {
	return &links{rng: rand.New(rand.NewPCG(seed, 0)), faults: make(map[int]fault)}
}

// fail applies l to packets of any of the pairs until heal is called.
func (s *links) fail(l Link, pairs []Pair) (heal func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.next
	s.next++
	s.faults[id] = fault{pairs, l}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.faults, id)
	}
}

// decide returns after which delays the copies of a packet arrive, none if it is lost.
func (s *links) decide(from, to string) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l Link
	for _, f := range s.faults {
		for _, p := range f.pairs {
			if p.matches(from, to) {
				l = l.plus(f.link)
				break
			}
		}
	}
	if l.Cut || l.Loss > 0 && s.rng.Float64() < l.Loss {
		s.count.Lost++
		return nil
	}
	s.count.Passed++
	if l.Delay+l.Jitter > 0 {
		s.count.Delayed++
	}
	out := []time.Duration{s.delay(l)}
	if l.Double > 0 && s.rng.Float64() < l.Double {
		s.count.Doubled++
		out = append(out, s.delay(l))
	}
	return out
}

func (s *links) delay(l Link) time.Duration {
	if l.Jitter <= 0 {
		return l.Delay
	}
	return l.Delay + time.Duration(s.rng.Int64N(int64(l.Jitter)))
}

func (s *links) counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}
