package replica

import (
	"context"
	"time"

	"github.com/sluicemq/sluice/internal/replication"
)

// tickInterval is how often the clock of replicas advances.
const tickInterval = 50 * time.Millisecond

// Tick advances the clock of the replicas until ctx ends.
func (s *Set) Tick(ctx context.Context) {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s.tick(time.Now())
	}
}

func (s *Set) tick(now time.Time) {
	for _, r := range s.all() {
		r.state.Lane.Lock()
		r.r.Tick(now.Sub(s.began))
		settled := append(r.act(), r.expire(now)...)
		r.state.Lane.Unlock()
		settle(settled)
	}
}

func (s *Set) nowMs() int64 { return time.Now().UnixMilli() }

// each lets an event happen to every replica of a partition that other brokers have
// too; all returns these.
func (s *Set) each(event func(*replication.Replica)) {
	for _, r := range s.all() {
		s.do(r.state, event)
	}
}

func (s *Set) all() []*replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*replica, 0, len(s.many))
	for r := range s.many {
		all = append(all, r)
	}
	return all
}
