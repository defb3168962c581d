package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
)

// subscription follows one shard over whichever link serves it.
type subscription struct {
	c     *Client
	shard int
	inbox chan delivery // capacity 1
	gone  chan struct{} // closed when another one has replaced it

	// Guarded by c.mu.
	at       int             // the link that it is assigned to
	token    uint32          // of the present stream; changes with it
	sent     bool            // Subscribe was sent
	after    quorum.Position // delivered so far
	started  bool            // something was received on the present stream
	failures int             // links that could not serve it, since one last did
	fresh    time.Time
	snapshot *quorum.Snapshot // being assembled
	total    uint64
}

type delivery struct {
	changes quorum.Changes
	err     error
	before  quorum.Position // where the subscription is without it
}

// Follow follows a shard from a position on. It replaces the Follower of that shard before.
func (c *Client) Follow(shard int, after quorum.Position) consensus.Follower {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subscribe(shard, after, make(chan delivery, 1))
}

// subscribe makes a subscription. One without inbox only opens a stream. REQUIRES: c.mu is held.
func (c *Client) subscribe(shard int, after quorum.Position, inbox chan delivery) *subscription {
	s := &subscription{c: c, shard: shard, inbox: inbox, gone: make(chan struct{}), after: after, at: int(c.first.Load()), fresh: time.Now()}
	if old := c.subs[shard]; old != nil {
		if inbox == nil {
			return old
		}
		close(old.gone)
		s.at, s.fresh = old.at, old.fresh
	}
	c.subs[shard] = s
	c.assign(s, s.at)
	return s
}

// assign has a link serve a subscription. REQUIRES: c.mu is held.
func (c *Client) assign(s *subscription, at int) {
	c.token++
	s.at, s.token, s.sent, s.started, s.snapshot = at, c.token, false, false, nil
	c.links[at].kick()
}

// Next returns what follows.
func (s *subscription) Next(ctx context.Context) (quorum.Changes, error) {
	select {
	case d := <-s.inbox:
		return d.changes, d.err
	case <-s.gone:
		return quorum.Changes{}, fmt.Errorf("%w: shard %d is followed by another", meta.ErrUnavailable, s.shard)
	case <-s.c.life.Done():
		return quorum.Changes{}, errClosed
	case <-ctx.Done():
		return quorum.Changes{}, context.Cause(ctx)
	}
}

// count returns the number of subscriptions that are assigned to a link.
func (c *Client) count(at int) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.at == at {
			n++
		}
	}
	return n
}

// assigned returns the messages that a link has yet to send for its subscriptions.
func (c *Client) assigned(at int) (send []message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.at == at && !s.sent && s.inbox != nil {
			s.sent = true
			send = append(send, message{kind: kindSubscribe, shard: s.shard, token: s.token, at: s.after})
		}
	}
	return send
}

// moveOn assigns the subscriptions of a link that failed to the next one.
func (c *Client) moveOn(from int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := (from + 1) % len(c.links)
	for _, s := range c.subs {
		if s.at == from {
			c.assign(s, next)
		}
	}
	c.first.CompareAndSwap(int32(from), int32(next))
}

// heartbeat notes that a link has passed on everything up to now.
func (c *Client) heartbeat(at int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		if s.at == at && s.started && s.snapshot == nil {
			s.fresh = time.Now()
		}
	}
}

// take returns the subscription that a message is for and what to deliver to it, or none.
func (c *Client) take(m message) (s *subscription, d delivery, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s = c.subs[m.shard]
	if s == nil || s.token != m.token {
		return nil, d, nil // of an earlier one
	}
	d.before = s.after
	switch m.kind {
	case kindEntries:
		if len(m.entries) > 0 && m.entries[0].Index <= s.after.Index || s.snapshot != nil {
			return nil, d, fmt.Errorf("shard %d: %d entries that do not follow index %d", m.shard, len(m.entries), s.after.Index)
		}
		d.changes.Entries = m.entries
	case kindSnapshot:
		done, err := s.assemble(m)
		if !done || err != nil {
			return nil, d, err
		}
		d.changes.Snapshot, s.snapshot = s.snapshot, nil
	case kindFailed:
		return s.failed(m)
	default:
		return nil, d, fmt.Errorf("a message of kind %d from a controller", m.kind)
	}
	s.after = s.after.AfterAll(d.changes)
	s.started, s.failures = true, 0
	return s, d, nil
}

// undelivered takes back a message that take took and that did not reach the follower, because the
// stream ended: the next stream begins before it. REQUIRES: moveOn was not called since.
func (c *Client) undelivered(s *subscription, token uint32, before quorum.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.token == token {
		s.after = before
	}
}

// failed moves a subscription that a controller cannot serve to the next one. Once all have failed
// the follower is told. REQUIRES: c.mu is held.
func (s *subscription) failed(m message) (*subscription, delivery, error) {
	c := s.c
	if s.failures++; s.failures < len(c.links) {
		c.assign(s, (s.at+1)%len(c.links))
		return nil, delivery{}, nil
	}
	s.failures = 0
	err := fmt.Errorf("%w: no controller has shard %d: %s", meta.ErrUnavailable, m.shard, m.text)
	if m.reason == reasonBehind {
		err = fmt.Errorf("%w: %w: shard %d", meta.ErrUnavailable, quorum.ErrAhead, m.shard)
	}
	return s, delivery{err: err}, nil
}

// maxSnapshot bounds the state of a shard.
const maxSnapshot = 4 << 30

// assemble adds a piece of a snapshot and reports whether it was the last one. REQUIRES: c.mu is held.
func (s *subscription) assemble(m message) (done bool, err error) {
	if m.from == 0 {
		if m.total > maxSnapshot || m.at.Index < s.after.Index {
			return false, fmt.Errorf("shard %d: a snapshot of %d bytes at index %d, after index %d", m.shard, m.total, m.at.Index, s.after.Index)
		}
		s.snapshot, s.total = &quorum.Snapshot{Position: m.at}, m.total
	}
	if s.snapshot == nil || m.at != s.snapshot.Position || m.total != s.total || m.from != uint64(len(s.snapshot.State)) ||
		m.from+uint64(len(m.piece)) > m.total || len(m.piece) == 0 && m.total > 0 {
		return false, fmt.Errorf("shard %d: a piece of a snapshot that does not follow the one before", m.shard)
	}
	s.snapshot.State = append(s.snapshot.State, m.piece...)
	return uint64(len(s.snapshot.State)) == m.total, nil
}
