package peer

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// wire is what streams of gRPC's clients and servers have in common.
type wire interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// violation is the error for something that a correct broker does not send.
type violation struct{ error }

// mostQueued bounds the messages without records that wait for the driver of a follower.
const mostQueued = 16 << 20

// errSilent: the process or the link has stopped without ending the connection.
var errSilent = errors.New("it was silent for longer than the ping timeout")

// stream is one side of a stream. Three goroutines use it: one sends, one receives, and run waits
// for the first error. On the follower's side a fourth delivers what has arrived.
type stream struct {
	p           *Peers
	wire        wire
	conn        *connection // on the leader's side
	leads       bool        // this side leads
	peer        int32
	incarnation uint64 // of the peer
	window      int64
	serial      uint64 // of the Hello, ascending
	count       *counters

	out    *outbox
	inbox  inbox        // on the follower's side
	fill   atomic.Int64 // bytes under way that count for the window; on the leader's side
	held   atomic.Int64 // bytes with records that the driver has not released; on the follower's side
	queued atomic.Int64 // bytes without records that the driver was not given yet; on the follower's side
	silent atomic.Int32 // pings sent since something has arrived
	pinged atomic.Uint64
	rtt    atomic.Int64 // ns, of the last ping

	full atomic.Int64 // since when the window is full, in ns of Peers.now; 0: it is not

	// local guards calls of Local on the leader's side: none begins after the end, so that
	// nothing of an old stream is mixed with that of a new one.
	local sync.RWMutex
	ended bool

	stopping sync.Once
	stopped  chan struct{}
	reason   error
	left     chan struct{}  // on the leader's side, closed once the driver knows that it has ended
	work     sync.WaitGroup // its goroutines
}

func (p *Peers) newStream(w wire, h hello, leads bool) *stream {
	s := &stream{p: p, wire: w, leads: leads, peer: h.broker, incarnation: h.incarnation, serial: p.serial.Add(1),
		window: min(h.window, p.cfg.FollowerWindowBytes), count: p.countersOf(h.broker), out: newOutbox(),
		stopped: make(chan struct{}), left: make(chan struct{})}
	if !leads {
		s.window = p.cfg.FollowerWindowBytes // which this side told the leader
	}
	s.inbox.arrived = make(chan struct{}, 1)
	return s
}

// stop ends the stream. The first reason counts.
func (s *stream) stop(reason error) {
	s.stopping.Do(func() {
		s.reason = reason
		close(s.stopped)
	})
}

// run carries the stream until it ends, and returns why.
func (s *stream) run() error {
	s.begin(s.send)
	s.begin(s.receive)
	if !s.leads {
		s.p.local.Connected(s.peer)
		s.begin(s.deliver)
	}
	tick := time.NewTicker(s.p.cfg.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.stopped:
			return s.reason
		case <-tick.C:
			// Ticks are counted, not time, so that a pause of this process is not taken for
			// one of the peer.
			if n := s.silent.Add(1); time.Duration(n)*s.p.cfg.PingInterval > s.p.cfg.PingTimeout {
				s.stop(errSilent)
				continue
			}
			token := s.p.now()
			s.pinged.Store(uint64(token))
			s.out.number(kindPing, uint64(token))
		}
	}
}

// begin starts a goroutine of the stream, whose end is that of the stream.
func (s *stream) begin(work func() error) {
	s.p.wg.Add(1)
	s.work.Add(1)
	go func() {
		defer s.p.wg.Done()
		defer s.work.Done()
		s.stop(work())
	}()
}

// end has no more calls of Local begin, and waits for those under way.
func (s *stream) end() {
	s.local.Lock()
	s.ended = true
	s.local.Unlock()
	s.windowFull(false)
}

// send sends frames until the stream ends.
func (s *stream) send() error {
	for {
		f, err := s.fillFrame()
		if err != nil {
			f.drop()
			return err
		}
		if !f.empty() {
			if err := s.sendFrame(f); err != nil {
				return err
			}
			continue
		}
		f.drop()
		select {
		case <-s.out.wake:
		case <-s.stopped:
			return s.reason
		}
	}
}

func (s *stream) sendFrame(f *frame) error {
	defer f.drop()
	if s.conn != nil && f.records > 0 && !s.conn.track(f) {
		return errors.New("the connection has ended")
	}
	if f.records > 0 {
		s.fill.Add(int64(f.length()))
	}
	s.count.sentFrames.Add(1)
	s.count.sentBytes.Add(uint64(f.length()))
	return s.wire.SendMsg(f)
}

// fillFrame returns the next frame, which is empty if there is nothing to send. Messages that
// were sent before Local.Next has returned records go before those.
func (s *stream) fillFrame() (*frame, error) {
	f := newFrame()
	if !s.leads {
		return f, s.out.moveTo(f, followerItems)
	}
	if err := s.out.moveTo(f, maxPending); err != nil {
		return f, err
	}
	for {
		room := min(int64(s.p.cfg.FrameBytes), s.window-s.fill.Load()) - int64(f.length())
		if room <= 0 && (f.records > 0 || s.fill.Load() > 0) {
			s.windowFull(f.length() < s.p.cfg.FrameBytes)
			return f, nil
		}
		s.windowFull(false)
		ok := s.takeRecords(f, int(max(room, 1)))
		if !ok {
			return f, s.out.moveTo(f, maxPending)
		}
	}
}

// takeRecords moves the records to send next to a frame, at most limit bytes or one batch.
func (s *stream) takeRecords(f *frame, limit int) bool {
	s.local.RLock()
	defer s.local.RUnlock()
	if s.ended {
		return false
	}
	p, h, data, release, ok := s.p.local.Next(s.peer, limit)
	if !ok {
		return false
	}
	if err := s.out.moveTo(f, maxPending); err != nil {
		s.stop(err)
	}
	f.addRecords(p, h, data, release)
	return true
}

// windowFull counts the time in which the window is full.
func (s *stream) windowFull(full bool) {
	now := s.p.now()
	if full {
		s.full.CompareAndSwap(0, now)
		return
	}
	if since := s.full.Swap(0); since != 0 {
		s.count.blocked.Add(now - since)
	}
}

// receive handles what arrives until the stream ends.
func (s *stream) receive() error {
	for {
		in := new(inbound)
		if err := s.wire.RecvMsg(in); err != nil {
			return err
		}
		s.silent.Store(0)
		s.count.receivedFrames.Add(1)
		s.count.receivedBytes.Add(uint64(in.buf.Len()))
		if err := s.arrived(in); err != nil {
			return violation{fmt.Errorf("broker %d: %w", s.peer, err)}
		}
	}
}

// arrived handles a frame, all of it or, if it is wrong, nothing.
func (s *stream) arrived(in *inbound) error {
	records, deliver, err := s.check(in.bytes())
	if err != nil {
		in.drop()
		return err
	}
	if err := s.control(in.bytes()); err != nil {
		in.drop()
		return err
	}
	switch {
	case records > 0:
		if s.held.Add(int64(in.buf.Len()))-int64(in.buf.Len()) >= s.window {
			in.drop()
			return fmt.Errorf("it sends more than the window of %d bytes", s.window)
		}
		in.done = s.released
		s.inbox.put(in)
	case deliver && s.leads:
		s.hear(in.bytes())
		in.drop()
	case deliver:
		if s.queued.Add(int64(in.buf.Len())) > mostQueued {
			in.drop()
			return fmt.Errorf("more than %d bytes of messages wait for this broker", mostQueued)
		}
		in.done = func(bytes int) { s.queued.Add(int64(-bytes)) }
		s.inbox.put(in)
	default:
		in.drop()
	}
	return nil
}

// check checks all items of a frame, and returns how many have records and whether there are any
// for Local.
func (s *stream) check(b []byte) (records int, deliver bool, err error) {
	c, err := parseFrame(b)
	if err != nil {
		return 0, false, err
	}
	var it item
	for {
		_, ok, err := c.next(&it)
		if !ok {
			return records, deliver, err
		}
		if !sent[!s.leads][it.kind] {
			return 0, false, fmt.Errorf("a %s is not for this side of a stream", names[it.kind])
		}
		if it.kind == kindRecords {
			records++
		}
		deliver = deliver || it.kind >= ofPartitions
	}
}

// control handles the items that are not about partitions.
func (s *stream) control(b []byte) error {
	c, _ := parseFrame(b) // was checked
	var it item
	for {
		if _, ok, _ := c.next(&it); !ok {
			return nil
		}
		switch it.kind {
		case kindPing:
			s.out.number(kindPong, it.number)
		case kindPong:
			if t := s.pinged.Load(); t != 0 && t == it.number {
				d := s.p.now() - int64(t)
				s.rtt.Store(d)
				s.count.roundTrip.Observe(time.Duration(d).Seconds())
			}
		case kindCredit:
			if fill := s.fill.Load(); it.number > uint64(fill) {
				return fmt.Errorf("it returns %d bytes of %d", it.number, fill)
			}
			s.fill.Add(-int64(it.number))
			s.out.kick()
		}
	}
}

// hear passes the items about partitions to the driver, on the leader's side.
func (s *stream) hear(b []byte) {
	s.local.RLock()
	defer s.local.RUnlock()
	c, _ := parseFrame(b)
	var it item
	for !s.ended {
		if _, ok, _ := c.next(&it); !ok {
			return
		}
		if it.kind == kindPosition {
			pos := it.position
			pos.Broker, pos.Incarnation = s.peer, s.incarnation
			s.p.local.Heard(s.peer, it.partition, replication.Message{Position: &pos})
		}
	}
}

// released is called when the driver no longer needs a frame with records.
func (s *stream) released(bytes int) {
	s.held.Add(int64(-bytes))
	s.out.number(kindCredit, uint64(bytes))
}

// post queues a message, unless the stream has ended.
func (s *stream) post(p topic.Partition, m replication.Message) {
	it := item{partition: p}
	switch {
	case m.Position != nil:
		it.kind, it.position = kindPosition, *m.Position
	case m.Divergence != nil:
		it.kind, it.divergence = kindDivergence, *m.Divergence
	case m.Restart != nil:
		it.kind, it.restart = kindRestart, *m.Restart
	default:
		return
	}
	s.out.add(it)
}
