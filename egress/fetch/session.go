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

// Epochs of a session that have a meaning of their own (KIP-227).
const (
	initialEpoch = 0  // make a session
	finalEpoch   = -1 // end it, or go without
)

// session is what is remembered of a reader who sends only changes. Whoever
// holds its turn owns all fields but those of the cache.
type session struct {
	id      int32
	byID    bool          // its requests name topics by id
	turn    chan struct{} // of one token
	dropped chan struct{} // closed when the cache has let go of it
	next    int32         // epoch of the request that is due
	watcher follower
	slots   []*slot
	index   map[slotKey]*slot
	cursor  int // where the next scan begins, so that none is starved
	bytes   int64

	place     *list.Element // in the cache, nil once dropped; guarded by sessions.mu
	held      int           // partitions counted in the cache; guarded by sessions.mu
	heldBytes int64         // likewise
	used      time.Time     // guarded by sessions.mu
}

// follower is the poll that has the session's turn, for whom its partitions are watched.
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

// sessions is the cache of sessions, the most recently used first. Watches are
// ended after mu is free: a session may have many.
type sessions struct {
	cfg     Config
	clock   clock.Clock
	evicted func() // called for each session that had to make room

	mu         sync.Mutex
	byID       map[int32]*session
	recent     list.List // of *session
	partitions int
	bytes      int64
}

// slotBytes is about what a session takes for a partition, and sessionBytes for itself:
// slot, key, their places in slice and map, and the place of the watch in the
// partition's state.
const (
	slotBytes    = 320
	sessionBytes = 512
)

// bytesOf is what a session that is made by req takes.
func bytesOf(req *kmsg.FetchRequest) (n int64) {
	for i := range req.Topics {
		n += int64(len(req.Topics[i].Partitions)) * (slotBytes + int64(len(req.Topics[i].Topic)))
	}
	return n
}

// memory returns the bytes that all sessions take.
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

// create returns a session with its turn taken, or nil when there is no room.
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
	idle, ok := c.room(1, partitions, bytes, now)
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
	s.place = c.recent.PushFront(s)
	return s, idle
}

// room makes room by dropping idle sessions, the longest idle first, and returns
// those that the caller has to clear.
func (c *sessions) room(sessions, partitions int, bytes int64, now time.Time) (idle []*session, ok bool) {
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

// resume takes the turn of a session for the request with that epoch. The code
// is Kafka's when the client has to start a new session.
func (c *sessions) resume(ctx context.Context, req *kmsg.FetchRequest) (*session, int16) {
	c.mu.Lock()
	s := c.byID[req.SessionID]
	c.mu.Unlock()
	if s == nil {
		return nil, kerr.FetchSessionIDNotFound.Code
	}
	select {
	case <-s.turn: // an earlier request of the same session was still waiting
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
	if s.place == nil {
		return false
	}
	s.used = c.clock.Now()
	c.recent.MoveToFront(s.place)
	return true
}

// leave gives the turn back; a session that was dropped meanwhile is cleared.
func (c *sessions) leave(s *session) {
	c.mu.Lock()
	kept := s.place != nil
	if kept {
		s.turn <- struct{}{}
	}
	c.mu.Unlock()
	if !kept {
		s.clear()
	}
}

// end drops the session with that id, if there is one.
func (c *sessions) end(id int32) {
	c.mu.Lock()
	var gone []*session
	if s := c.byID[id]; s != nil {
		gone = c.drop(s)
	}
	c.mu.Unlock()
	clearAll(gone)
}

// drop forgets s and returns it if nobody has its turn, which the caller then
// has and must clear it; else leave does. REQUIRES: mu.
func (c *sessions) drop(s *session) []*session {
	delete(c.byID, s.id)
	c.recent.Remove(s.place)
	s.place = nil
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

// hold changes how many partitions are counted for s; false means no room, or
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
	if s.place != nil && (grow > 0 || more > 0) {
		idle, ok = c.room(0, max(grow, 0), max(more, 0), c.clock.Now())
		if !ok {
			return false, idle
		}
	}
	if s.place == nil { // perhaps it was the idlest itself
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

// clear ends all watches. REQUIRES: the caller has the turn and keeps it.
func (s *session) clear() {
	for _, x := range s.slots {
		x.disarm()
	}
	s.slots, s.index = nil, nil
}

// update takes over what a request adds, changes and forgets. Strings are
// cloned, since the request is gone before the session.
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
