package group

import (
	"time"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/topic"
)

// sweep looks for expired offsets every now and then, one group at a time, so
// that lanes go on serving.
func (c *Coordinator) sweep() {
	timer := time.NewTicker(c.cfg.SweepInterval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.closing:
			return
		}
		for _, l := range c.lanes {
			for _, name := range c.names(l) {
				c.post(l, func(l *lane) {
					if e, ok := l.groups[name]; ok {
						l.look(e, nil) // a topic may have been deleted
						l.expire(e)
						l.settle(e)
					}
				})
			}
		}
		c.adopt()
	}
}

// adopt takes in groups that the store has and no lane: what a write made that was given
// up for lost.
func (c *Coordinator) adopt() {
	for _, g := range c.store.Groups() {
		c.post(c.lane(g.Name), func(l *lane) {
			if _, ok := l.groups[g.Name]; ok {
				return
			}
			if now, ok := c.store.Group(g.Name); ok {
				l.load(now)
			}
		})
	}
}

// names returns the groups of a lane, none once the coordinator is closed.
func (c *Coordinator) names(l *lane) []string {
	names := make(chan []string, 1)
	ok := c.post(l, func(l *lane) {
		all := make([]string, 0, len(l.groups))
		for name := range l.groups {
			all = append(all, name)
		}
		names <- all
	})
	if !ok {
		return nil
	}
	return <-names
}

// expire removes the offsets of a group whose retention has passed, and the group
// when it is empty and has none left. A group with writes under way has just been
// used; it is looked at next time.
func (l *lane) expire(e *entry) {
	if e.under != nil || e.g.State() == rebalance.Dead {
		return
	}
	kept := e.committed()
	gone := l.expired(e.g, kept)
	count := func() { l.c.metrics.expired.Add(float64(len(gone))) }
	switch {
	case len(gone) == len(kept) && e.quiet():
		on := func(eff rebalance.Effect) {
			if eff.(rebalance.Answer).Code == 0 {
				count()
			}
		}
		l.step(e, rebalance.Delete{To: l.expect(waiter{on, func(int16) {}})})
	case len(gone) > 0:
		e.next.clear(gone)
		e.next.done = append(e.next.done, func(err error) {
			if err == nil {
				count()
			}
		})
		l.flush(e)
	}
}

// expired applies KIP-211. The retention runs
//   - from when the group became empty, or the commit if that is later;
//   - from the commit, for groups that never had members, for topics that a stable
//     group of consumers does not subscribe to, and for topics that were deleted.
//
// Other offsets of a group with members do not expire.
func (l *lane) expired(g *rebalance.Group, kept offsets) []topic.Partition {
	view := l.c.store.View()
	before := l.c.clock.Now().Add(-l.c.cfg.OffsetsRetention).UnixMilli()
	uses := subscription{all: g.State() != rebalance.Empty}
	if g.State() == rebalance.Stable && g.ProtocolType() == consumerProtocol {
		uses = subscribed(g.Subscriptions())
	}
	var gone []topic.Partition
	for p, o := range kept {
		t, exists := view.TopicByID(p.Topic)
		since := o.CommitMs
		if g.State() == rebalance.Empty && exists {
			since = max(since, g.ChangedMs())
		}
		if since <= before && !(exists && uses.has(t.Name)) {
			gone = append(gone, p)
		}
	}
	return gone
}
