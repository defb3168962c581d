package fetch

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// readCommitted is the isolation level that hides open transactions.
const readCommitted = 1

// poll serves one request. One goroutine at a time runs it from arrival to response. While it
// is parked there is none, only what wakes it: its partitions, a timer, the end of its
// connection, or hurry.
type poll struct {
	*Server
	ctx         context.Context
	who         pipeline.Holder
	reply       func(body net.Buffers, release func())
	reservation *reservation
	asked       asked
	session     *session // nil without a session
	full        bool     // the response has every slot, not only changed ones
	slots       []*slot
	limit       int       // bytes of the whole response, soft for the first batch
	until       time.Time // deadline set by the client
	rested      time.Time // no scan before this time, see rest

	view    *meta.View // loaded by the scan when a slot needs it
	answers []answer
	due     int // estimated record bytes of the response
	first   int // of these, about the size of the first batch, which is always returned

	mu      sync.Mutex
	parked  bool               // no goroutine runs it
	moved   bool               // a partition has changed since the last scan
	hurried bool               // must answer with what is available
	cancel  context.CancelFunc // cancels a blocking call of a running poll
	news    chan struct{}      // receives wake-ups while it reads; capacity 1
	timer   *time.Timer
	stop    func() bool // unregisters from ctx
}

// asked holds the parameters of the whole request.
type asked struct {
	version   int16
	isolation int8
	minBytes  int
	maxBytes  int32
	wait      time.Duration
}

// open finds or creates the session of a request and takes its turn. A nonzero code refuses the
// whole request.
func (p *poll) open(req *kmsg.FetchRequest) int16 {
	epoch := req.SessionEpoch
	if epoch > initialEpoch {
		return p.resume(req)
	}
	if req.SessionID != 0 {
		p.sessions.end(req.SessionID)
	}
	p.full = true
	if epoch == initialEpoch && req.Version >= 7 {
		p.begin(req)
	}
	if p.session == nil {
		p.slots = slotsOf(req)
	}
	return 0
}

// begin creates a session, if the limits allow.
func (p *poll) begin(req *kmsg.FetchRequest) {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	s := p.sessions.create(req, n)
	if s == nil {
		p.metrics.turnedAway.Inc()
		return
	}
	s.update(req)
	p.use(s)
}

// resume continues an existing session.
func (p *poll) resume(req *kmsg.FetchRequest) int16 {
	ctx, done := p.cancellable()
	defer done()
	s, code := p.sessions.resume(ctx, req)
	if code != 0 {
		return code
	}
	s.update(req)
	if !p.sessions.hold(s, len(s.slots)) {
		p.sessions.end(s.id)
		p.sessions.leave(s)
		return kerr.FetchSessionIDNotFound.Code
	}
	p.use(s)
	return 0
}

// use makes the poll follow the partitions of s, which are charged to the sessions.
func (p *poll) use(s *session) {
	p.session, p.slots = s, s.slots
	s.watcher.poll.Store(p)
	p.reservation.resize(pollBytes)
}

// watcher returns the watcher to register with partitions.
func (p *poll) watcher() partition.Watcher {
	if p.session != nil {
		return &p.session.watcher
	}
	return p
}

// scan rebuilds the answers from every slot and reports whether they are due.
func (p *poll) scan() bool {
	p.metrics.scans.Inc()
	p.answers, p.due, p.first, p.view = p.answers[:0], 0, 0, nil
	if p.full && p.answers == nil {
		p.answers = make([]answer, 0, len(p.slots))
	}
	urgent := p.asked.wait <= 0 || len(p.slots) == 0
	n := len(p.slots)
	first := 0
	if p.session != nil && n > 0 {
		first = p.session.cursor % n
	}
	for i := range n {
		s := p.slots[(first+i)%n]
		a := p.look(s)
		s.behind = a.code == 0 && !a.diverged && s.offset < a.end(p.asked.isolation)
		if a.code != 0 || a.diverged {
			urgent = urgent || !a.patient
		} else if left := p.limit - p.due; s.behind && left > 0 {
			a.wanted = true
			due, first := p.estimate(s, a.end(p.asked.isolation), left)
			if p.due += due; p.first == 0 {
				p.first = first
			}
		}
		if p.full || a.wanted || a.code != 0 || a.diverged || a.hw != s.toldHW || a.logStart != s.toldStart {
			p.answers = append(p.answers, a)
		}
	}
	return urgent || p.due >= p.enough()
}

// enough returns how many bytes must be available before the client is answered.
func (p *poll) enough() int { return min(p.asked.minBytes, p.limit) }

// estimate returns roughly how many bytes a read of s would return, at most left but at least
// one batch, and the size of the first batch. Data only in objects counts in full, and its
// first batch as the largest that the topic allows.
func (p *poll) estimate(s *slot, end int64, left int) (due, first int) {
	most := min(left, max(1, int(s.maxBytes)))
	due, ok := s.state.Tail.Estimate(s.offset, end, most)
	if !ok {
		return most, int(s.state.Settings().MaxMessageBytes)
	}
	first, _ = s.state.Tail.Estimate(s.offset, end, 1)
	return due, first
}

// look builds the answer of one slot without I/O.
func (p *poll) look(s *slot) answer {
	a := noAnswer(s)
	if s.state != nil {
		s.mark = s.state.Mark()
	}
	if s.state == nil || s.state.Deleted() || !s.state.Leads() {
		if err := p.find(s, &a); err != nil {
			a.code = fault.Code(err)
			return a
		}
	}
	if err := lookup.CheckEpoch(s.state, s.epoch); err != nil {
		a.code = fault.Code(err)
		if errors.Is(err, lookup.ErrFencedEpoch) { // the client has an older epoch
			a.leader, a.leaderEpoch = p.leaderOf(s.state)
		}
		return a
	}
	a.logStart, a.hw, a.stable = s.state.LogStart(), s.state.HighWatermark(), s.state.LastStable()
	if s.offset < a.logStart { // whatever its epoch
		a.refuse(kerr.OffsetOutOfRange.Code)
		return a
	}
	if err := s.state.Lost(); err != nil && s.offset >= a.hw {
		a.refuse(fault.Code(err))
		a.patient = true
		return a
	}
	if p.truncated(s, &a); a.code != 0 || a.diverged {
		return a
	}
	switch {
	case s.offset > s.state.LogEnd():
		a.refuse(kerr.OffsetOutOfRange.Code)
	case (s.maxBytes < 0 || p.asked.maxBytes < 0) && s.offset < a.end(p.asked.isolation):
		a.refuse(kerr.UnknownServerError.Code) // like Kafka, which checks the size only if there is something to read
	}
	return a
}

// find looks up the partition of a slot, again if its state was deleted or is no longer led here.
func (p *poll) find(s *slot, a *answer) error {
	s.disarm()
	s.state = nil
	if p.view == nil {
		p.view = p.deps.Lookup.View()
	}
	var t *meta.Topic
	var err error
	if p.asked.version >= 13 {
		t, err = lookup.ByID(p.view, s.topic.id)
	} else {
		t, err = lookup.ByName(p.view, s.topic.name)
	}
	if err != nil {
		a.unknown = true
		return err
	}
	if s.state, err = p.deps.Lookup.Partition(t, s.index); err != nil {
		s.state, a.unknown = nil, errors.Is(err, meta.ErrUnknownTopic)
		if errors.Is(err, lookup.ErrNotLeader) {
			a.leader, a.leaderEpoch = t.Partitions[s.index].Leader, t.Partitions[s.index].Epoch
		}
		return err
	}
	s.mark = s.state.Mark()
	return nil
}

func (p *poll) leaderOf(s *partition.State) (leader, epoch int32) {
	if p.view == nil {
		p.view = p.deps.Lookup.View()
	}
	if m, ok := p.view.Partition(s.ID); ok {
		return m.Leader, m.Epoch
	}
	return -1, -1
}

// truncated compares the epoch of the reader's last record with the log (KIP-595). Within the
// current epoch nothing can have been truncated. A reader whose epoch is older than all known
// ones is valid up to the start of the first known epoch.
func (p *poll) truncated(s *slot, a *answer) {
	current := s.state.Epoch()
	if s.lastEpoch < 0 || s.lastEpoch == current {
		return
	}
	if s.lastEpoch > current { // its end is unknown
		a.refuse(kerr.OffsetOutOfRange.Code)
		return
	}
	epoch, end := s.state.EpochEnd(s.lastEpoch)
	if epoch >= 0 && (epoch < s.lastEpoch || end < s.offset) {
		a.diverged, a.divergedEpoch, a.divergedEnd = true, epoch, end
	}
}
