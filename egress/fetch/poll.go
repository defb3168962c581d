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

// readCommitted is the isolation level of a reader who wants no open transactions.
const readCommitted = 1

// poll serves one request. One goroutine at a time runs it, from its arrival to its
// answer, but for the time that it waits: then there is none, only what wakes it. That
// are the partitions, a timer, the end of its connection, and hurry.
type poll struct {
	*Server
	ctx     context.Context
	who     pipeline.Holder
	reply   func(body net.Buffers, release func())
	place   *place
	asked   asked
	session *session // nil without
	full    bool     // the answer has every slot, not only what changed
	slots   []*slot
	limit   int       // bytes of the whole answer, soft for the first batch
	until   time.Time // when the client wants its answer
	rested  time.Time // when it may look again, see rest

	view    *meta.View // taken by the scan at the first slot that needs it
	answers []answer
	due     int // estimate of the bytes that answers are to be filled with
	first   int // of these, about what the first batch is: it is returned whatever its size

	mu      sync.Mutex
	parked  bool               // no goroutine runs it
	moved   bool               // something has, since the last look
	hurried bool               // it is to be answered with what there is
	cut     context.CancelFunc // ends what it is waiting for though it is not parked
	news    chan struct{}      // told of moves while it reads; capacity 1
	timer   *time.Timer
	stop    func() bool // ends the watch on ctx
}

// asked is what a request says of the whole answer.
type asked struct {
	version   int16
	isolation int8
	minBytes  int
	maxBytes  int32
	wait      time.Duration
}

// open finds or makes the session of a request and takes its turn. The code is
// set when the whole request is refused.
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

// begin makes a session, if there is room.
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

// resume goes on with a session that is there.
func (p *poll) resume(req *kmsg.FetchRequest) int16 {
	ctx, done := p.cuttable()
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

// use has the poll follow the partitions of s, which are on the account of sessions.
func (p *poll) use(s *session) {
	p.session, p.slots = s, s.slots
	s.watcher.poll.Store(p)
	p.place.resize(pollBytes)
}

// watcher is whom partitions tell that they have moved.
func (p *poll) watcher() partition.Watcher {
	if p.session != nil {
		return &p.session.watcher
	}
	return p
}

// scan looks at every slot, makes the answers anew, and reports whether they
// are due.
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

// enough is how much is to be there before the client is answered.
func (p *poll) enough() int { return min(p.asked.minBytes, p.limit) }

// estimate returns about how many bytes a read of s would give, at most left but
// at least one batch, and about how large that one is. What is only in objects
// counts in full, and its first batch as the largest that the topic takes.
func (p *poll) estimate(s *slot, end int64, left int) (due, first int) {
	most := min(left, max(1, int(s.maxBytes)))
	due, ok := s.state.Tail.Estimate(s.offset, end, most)
	if !ok {
		return most, int(s.state.Settings().MaxMessageBytes)
	}
	first, _ = s.state.Tail.Estimate(s.offset, end, 1)
	return due, first
}

// look judges one slot without I/O.
func (p *poll) look(s *slot) answer {
	a := noAnswer(s)
	if s.state != nil {
		s.mark = s.state.Mark()
	}
	if s.state == nil || s.state.Deleted() {
		if err := p.find(s, &a); err != nil {
			a.code = fault.Code(err)
			return a
		}
	}
	if err := lookup.CheckEpoch(s.state, s.epoch); err != nil {
		a.code = fault.Code(err)
		if errors.Is(err, lookup.ErrFencedEpoch) { // the client is behind
			a.leader, a.leaderEpoch = p.leaderOf(s.state)
		}
		return a
	}
	a.logStart, a.hw, a.stable = s.state.LogStart(), s.state.HighWatermark(), s.state.LastStable()
	if s.offset < a.logStart { // whatever epoch it comes from
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
	case s.offset > a.hw:
		a.refuse(kerr.OffsetOutOfRange.Code)
	case (s.maxBytes < 0 || p.asked.maxBytes < 0) && s.offset < a.end(p.asked.isolation):
		a.refuse(kerr.UnknownServerError.Code) // as Kafka, which looks at the size when there is something to read
	}
	return a
}

// find looks up the partition of a slot, again if its state was deleted.
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

// truncated compares the epoch of the last record that the reader has with the
// log (KIP-595). Within the current epoch nothing can have been cut off. A reader whose
// epoch is older than all that are known may have got to where the first of these
// begins, and no further.
func (p *poll) truncated(s *slot, a *answer) {
	current := s.state.Epoch()
	if s.lastEpoch < 0 || s.lastEpoch == current {
		return
	}
	if s.lastEpoch > current { // there is no telling where it ends
		a.refuse(kerr.OffsetOutOfRange.Code)
		return
	}
	epoch, end := s.state.EpochEnd(s.lastEpoch)
	if epoch >= 0 && (epoch < s.lastEpoch || end < s.offset) {
		a.diverged, a.divergedEpoch, a.divergedEnd = true, epoch, end
	}
}
