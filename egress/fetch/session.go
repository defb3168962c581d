package fetch

import (
	"container/list"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/clock"
)

// Session epochs with a special meaning (KIP-227).
const (
	initialEpoch = 0  // create a session
	finalEpoch   = -1 // end it, or fetch without one
)

// session is the state of a reader that sends only changes. The holder of its turn owns all
// fields except those guarded by the cache.
type session struct {
	id      int32
	byID    bool          // its requests identify topics by id
	turn    chan struct{} // of one token
	dropped chan struct{} // closed when the cache has dropped it
	next    int32         // epoch of the next request
	watcher follower
	slots   []*slot
	index   map[slotKey]*slot
	cursor  int // where the next scan starts, so that no partition starves
	bytes   int64

	elem      *list.Element // in the cache, nil once dropped; guarded by sessions.mu
	held      int           // partitions counted in the cache; guarded by sessions.mu
	heldBytes int64         // likewise
	used      time.Time     // guarded by sessions.mu
}

// follower is registered with a session's partitions and notifies the poll that has the
// session's turn.
type follower struct{ poll atomic.Pointer[poll] }

// Moved implements partition.Watcher.
func (f *follower) Moved() {
	if p := f.poll.Load(); p != nil {
		p.Moved()
	}
}

type slotKey struct {
	named
	index int32
}

// sessions is the cache of sessions, most recently used first. Watches are removed after mu is
// released: a session may have many.
type sessions struct {
	cfg     Config
	clock   clock.Clock
	evicted func() // called for each evicted session

	mu         sync.Mutex
	byID       map[int32]*session
	recent     list.List // of *session
	partitions int
	bytes      int64
}

// slotBytes estimates the memory of a partition in a session, and sessionBytes that of the
// session itself: slot, key, their entries in slice and map, and the watch in the partition's
// state.
const (
	slotBytes    = 320
	sessionBytes = 512
)

// bytesOf returns the memory of a session created by req.
func bytesOf(req *kmsg.FetchRequest) (n int64) {
	for i := range req.Topics {
		n += int64(len(req.Topics[i].Partitions)) * (slotBytes + int64(len(req.Topics[i].Topic)))
	}
	return n
}

// memory returns the memory of all sessions.
func (c *sessions) memory() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

func newSessions(cfg Config, c clock.Clock, evicted func()) *sessions {
	return &sessions{cfg: cfg, clock: c, evicted: evicted, byID: make(map[int32]*session)}
}

func (c *sessions) size() (sessions, partitions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID), c.partitions
}

// create returns a session with its turn taken, or nil if the limits do not allow one.
func (c *sessions) create(req *kmsg.FetchRequest, partitions int) *session {
	s, idle := c.add(req, partitions)
	clearAll(idle)
	return s
}

func (c *sessions) add(req *kmsg.FetchRequest, partitions int) (s *session, idle []*session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	bytes := sessionBytes + bytesOf(req)
	idle, ok := c.evict(1, partitions, bytes, now)
	if !ok {
		return nil, idle
	}
	s = &session{byID: req.Version >= 13, turn: make(chan struct{}, 1), dropped: make(chan struct{}), next: 1,
		index: make(map[slotKey]*slot, partitions), held: partitions, heldBytes: bytes, bytes: sessionBytes, used: now}
	for s.id == 0 || c.byID[s.id] != nil {
		s.id = rand.Int32()
	}
	c.byID[s.id] = s
	c.partitions += partitions
	c.bytes += bytes
	s.elem = c.recent.PushFront(s)
	return s, idle
}

// evict drops idle sessions, longest idle first, until the new ones fit, and returns those that
// the caller has to clear.
func (c *sessions) evict(sessions, partitions int, bytes int64, now time.Time) (idle []*session, ok bool) {
	for len(c.byID)+sessions > c.cfg.Sessions || c.partitions+partitions > c.cfg.SessionPartitions || c.bytes+bytes > c.cfg.SessionBytes {
		last := c.recent.Back()
		if last == nil || now.Sub(last.Value.(*session).used) < c.cfg.SessionIdle {
			return idle, false
		}
		idle = append(idle, c.drop(last.Value.(*session))...)
		c.evicted()
	}
	return idle, true
}

// resume takes the turn of a session for the request with that epoch. A nonzero code tells the
// client to start a new session.
func (c *sessions) resume(ctx context.Context, req *kmsg.FetchRequest) (*session, int16) {
	c.mu.Lock()
	s := c.byID[req.SessionID]
	c.mu.Unlock()
	if s == nil {
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	select {
	case <-s.turn: // an earlier request of the session was still waiting
	case <-s.dropped:
		return nil, kerr.FetchSessionIDNotFound.Code
	case <-ctx.Done():
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	code := int16(0)
	switch {
	case !c.touch(s):
		code = kerr.FetchSessionIDNotFound.Code
	case s.next != req.SessionEpoch:
		code = kerr.InvalidFetchSessionEpoch.Code
	case s.byID != (req.Version >= 13):
		code = kerr.FetchSessionTopicIDError.Code
	}
	if code != 0 {
		c.leave(s)
		return nil, code
	}
	s.next = epochAfter(s.next)
	return s, 0
}

func epochAfter(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

func (c *sessions) touch(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.elem == nil {
		return false
	}
	s.used = c.clock.Now()
	c.recent.MoveToFront(s.elem)
	return true
}

// leave returns the turn; a session dropped meanwhile is cleared.
func (c *sessions) leave(s *session) {
	c.mu.Lock()
	kept := s.elem != nil
	if kept {
		s.turn <- struct{}{}
	}
	c.mu.Unlock()
	if !kept {
		s.clear()
	}
}

// end drops the session with that id, if it exists.
func (c *sessions) end(id int32) {
	c.mu.Lock()
	var gone []*session
	if s := c.byID[id]; s != nil {
		gone = c.drop(s)
	}
	c.mu.Unlock()
	clearAll(gone)
}

// drop removes s from the cache. If nobody has its turn, it takes the turn and returns s for
// the caller to clear; else leave clears it. REQUIRES: mu.
func (c *sessions) drop(s *session) []*session {
	delete(c.byID, s.id)
	c.recent.Remove(s.elem)
	s.elem = nil
	c.partitions -= s.held
	c.bytes -= s.heldBytes
	close(s.dropped)
	select {
	case <-s.turn:
		return []*session{s}
	default:
		return nil
	}
}

func (c *sessions) endAll() {
	c.mu.Lock()
	var gone []*session
	for _, s := range c.byID {
		gone = append(gone, c.drop(s)...)
	}
	c.mu.Unlock()
	clearAll(gone)
}

// hold changes the number of partitions counted for s; false means that they do not fit, or
// that s was dropped. REQUIRES: the caller has the turn of s.
func (c *sessions) hold(s *session, partitions int) bool {
	ok, idle := c.resize(s, partitions)
	clearAll(idle)
	return ok
}

func (c *sessions) resize(s *session, partitions int) (ok bool, idle []*session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	grow, more := partitions-s.held, s.bytes-s.heldBytes
	if s.elem != nil && (grow > 0 || more > 0) {
		idle, ok = c.evict(0, max(grow, 0), max(more, 0), c.clock.Now())
		if !ok {
			return false, idle
		}
	}
	if s.elem == nil { // it may have been the longest idle itself
		return false, idle
	}
	c.partitions += grow
	c.bytes += more
	s.held, s.heldBytes = partitions, s.bytes
	return true, idle
}

func clearAll(gone []*session) {
	for _, s := range gone {
		s.clear()
	}
}

// clear removes all watches. REQUIRES: the caller has the turn and keeps it.
func (s *session) clear() {
	for _, x := range s.slots {
		x.disarm()
	}
	s.slots, s.index = nil, nil
}

// update applies what a request adds, changes and forgets. Strings are cloned, since the
// session outlives the request.
func (s *session) update(req *kmsg.FetchRequest) {
	for i := range req.Topics {
		t := &req.Topics[i]
		var own *named
		for j := range t.Partitions {
			p := &t.Partitions[j]
			key := slotKey{named{t.Topic, t.TopicID}, p.Partition}
			x := s.index[key]
			if x == nil {
				if own == nil {
					own = &named{strings.Clone(t.Topic), t.TopicID}
				}
				key.named = *own
				x = &slot{topic: own, index: p.Partition, at: len(s.slots), toldHW: -1, toldStart: -1}
				s.slots = append(s.slots, x)
				s.index[key] = x
				s.bytes += slotBytes + int64(len(own.name))
			}
			x.ask(p)
		}
	}
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, index := range t.Partitions {
			s.forget(slotKey{named{t.Topic, t.TopicID}, index})
		}
	}
}

func (s *session) forget(key slotKey) {
	x := s.index[key]
	if x == nil {
		return
	}
	x.disarm()
	delete(s.index, key)
	s.bytes -= slotBytes + int64(len(x.topic.name))
	last := s.slots[len(s.slots)-1]
	s.slots[x.at], last.at = last, x.at
	s.slots[len(s.slots)-1] = nil
	s.slots = s.slots[:len(s.slots)-1]
}
