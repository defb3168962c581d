package group

import (
	"time"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/topic"
)

// expireOffsets looks for expired offsets periodically, one group at a time, so that lanes keep
// serving.
func (c *Coordinator) expireOffsets() {
	timer := time.NewTicker(c.cfg.OffsetsCheckInterval)
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
						l.refresh(e)
					}
				})
			}
		}
		c.adopt()
	}
}

// adopt adds groups that are in the store but not in a lane: a write was applied after it had
// timed out.
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

// expire removes expired offsets of a group, and the group if it is empty and has none left. A
// group being written is in use; its turn comes next time.
func (l *lane) expire(e *laneGroup) {
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

// expired applies KIP-211. The retention time runs
//
//   - from when the group became empty, or from the commit if that is later;
//   - from the commit, for groups that never had members, for topics that a stable
//     group of consumers does not subscribe to, and for deleted topics.
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
