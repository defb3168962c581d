package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// readCommitted is the isolation level of a reader who wants no open transactions.
const readCommitted = 1

// poll serves one request.
type poll struct {
	*Server
	who     pipeline.Holder
	req     *kmsg.FetchRequest
	session *session // nil without
	full    bool     // the answer has every slot, not only what changed
	slots   []*slot
	limit   int       // bytes of the whole answer, soft for the first batch
	until   time.Time // when the client wants its answer

	watcher  *partition.Watcher
	watching bool // slots that are found are to be watched at once

	view    *meta.View // taken by the scan at the first slot that needs it
	answers []answer
	due     int // estimate of the bytes that answers are to be filled with
	first   int // of these, about what the first batch is: it is returned whatever its size
}

// open finds or makes the session of a request and takes its turn. The code is
// set when the whole request is refused.
func (s *Server) open(ctx context.Context, req *kmsg.FetchRequest) (*poll, int16) {
	p := &poll{Server: s, req: req, full: true, limit: max(1, min(s.cfg.MaxBytes, int(req.MaxBytes))),
		until: time.Now().Add(min(time.Duration(req.MaxWaitMillis)*time.Millisecond, s.cfg.MaxWait))}
	epoch := req.SessionEpoch
	if epoch > initialEpoch {
		if code := p.resume(ctx); code != 0 {
			return nil, code
		}
		return p, 0
	}
	if req.SessionID != 0 {
		s.sessions.end(req.SessionID)
	}
	if epoch == initialEpoch && req.Version >= 7 {
		p.begin()
	}
	if p.session == nil {
		p.slots, p.watcher = slotsOf(req), partition.NewWatcher()
	}
	return p, 0
}

// begin makes a session, if there is room.
func (p *poll) begin() {
	n := 0
	for i := range p.req.Topics {
		n += len(p.req.Topics[i].Partitions)
	}
	s := p.sessions.create(p.req, n)
	if s == nil {
		p.metrics.turnedAway.Inc()
		return
	}
	s.update(p.req)
	p.use(s)
}

// resume goes on with a session that is there.
func (p *poll) resume(ctx context.Context) int16 {
	s, code := p.sessions.resume(ctx, p.req)
	if code != 0 {
		return code
	}
	s.update(p.req)
	if !p.sessions.hold(s, len(s.slots)) {
		p.sessions.end(s.id)
		p.sessions.leave(s)
		return kerr.FetchSessionIDNotFound.Code
	}
	p.full = false
	p.use(s)
	return 0
}

func (p *poll) use(s *session) {
	p.session, p.slots, p.watcher, p.watching = s, s.slots, s.watcher, true
}

func (p *poll) leave() {
	if p.session != nil {
		p.sessions.leave(p.session)
	}
}

// wait returns when the answer is due: enough to read, an error to report, or
// the client's time is over.
func (p *poll) wait(ctx context.Context) {
	select {
	case <-p.watcher.C: // the scan sees what it stands for
	default:
	}
	if p.scan() {
		return
	}
	p.metrics.waiting.Inc()
	defer p.metrics.waiting.Dec()
	if p.session == nil {
		p.watch()
		defer p.unwatch()
		if p.scan() { // something may have come before the watch
			return
		}
	}
	ctx, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	for p.woken(ctx) && !p.scan() && p.rest(ctx) {
	}
}

// woken returns true when a partition has moved, false when the poll is over.
func (p *poll) woken(ctx context.Context) bool {
	select {
	case <-p.watcher.C:
		return true
	case <-p.closing:
	case <-ctx.Done():
	}
	return false
}

// rest lets some time pass before many slots are looked at again: 10 ms for
// 10,000, which bounds what a poll costs while others write all the time. It
// returns false when the poll is over.
func (p *poll) rest(ctx context.Context) bool {
	if len(p.slots) < 1000 {
		return true
	}
	timer := time.NewTimer(time.Duration(len(p.slots)) * time.Microsecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.closing:
	case <-ctx.Done():
	}
	return false
}

func (p *poll) watch() {
	p.watching = true
	for _, s := range p.slots {
		s.watch(p.watcher)
	}
}

func (p *poll) unwatch() {
	p.watching = false
	for _, s := range p.slots {
		s.unwatch(p.watcher)
	}
}

// scan looks at every slot, makes the answers anew, and reports whether they
// are due.
func (p *poll) scan() bool {
	p.metrics.scans.Inc()
	p.answers, p.due, p.first, p.view = p.answers[:0], 0, 0, nil
	if p.full && p.answers == nil {
		p.answers = make([]answer, 0, len(p.slots))
	}
	urgent := p.req.MaxWaitMillis <= 0 || len(p.slots) == 0
	n := len(p.slots)
	first := 0
	if p.session != nil && n > 0 {
		first = p.session.cursor % n
	}
	for i := range n {
		s := p.slots[(first+i)%n]
		a := p.look(s)
		s.behind = a.code == 0 && !a.diverged && s.offset < a.end(p.req.IsolationLevel)
		if a.code != 0 || a.diverged {
			urgent = urgent || !a.patient
		} else if left := p.limit - p.due; s.behind && left > 0 {
			a.wanted = true
			due, first := p.estimate(s, a.end(p.req.IsolationLevel), left)
			if p.due += due; p.first == 0 {
				p.first = first
			}
		}
		if p.full || a.wanted || a.code != 0 || a.diverged || a.hw != s.toldHW || a.logStart != s.toldStart {
			p.answers = append(p.answers, a)
		}
	}
	return urgent || p.due >= min(int(p.req.MinBytes), p.limit)
}

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
	a := answer{slot: s, hw: -1, stable: -1, logStart: -1, leader: -1, leaderEpoch: -1}
	if s.state == nil || s.state.Deleted() {
		if err := p.find(s, &a); err != nil {
			a.code = p.deps.Code(err)
			return a
		}
	}
	if err := lookup.CheckEpoch(s.state, s.epoch); err != nil {
		a.code = p.deps.Code(err)
		a.leader, a.leaderEpoch = p.leaderOf(s.state)
		return a
	}
	a.logStart, a.hw, a.stable = s.state.LogStart(), s.state.HighWatermark(), s.state.LastStable()
	if s.offset < a.logStart { // whatever epoch it comes from
		a.refuse(kerr.OffsetOutOfRange.Code)
		return a
	}
	if err := s.state.Lost(); err != nil && s.offset >= a.hw {
		a.refuse(p.deps.Code(err))
		a.patient = true
		return a
	}
	if p.truncated(s, &a); a.code != 0 || a.diverged {
		return a
	}
	if s.offset > a.hw {
		a.refuse(kerr.OffsetOutOfRange.Code)
	}
	return a
}

// find looks up the partition of a slot, again if its state was deleted.
func (p *poll) find(s *slot, a *answer) error {
	s.unwatch(p.watcher)
	s.state = nil
	if p.view == nil {
		p.view = p.deps.Lookup.View()
	}
	var t *meta.Topic
	var err error
	if p.req.Version >= 13 {
		t, err = lookup.ByID(p.view, s.topic.id)
	} else {
		t, err = lookup.ByName(p.view, s.topic.name)
	}
	if err != nil {
		return err
	}
	if s.state, err = p.deps.Lookup.Partition(t, s.index); err != nil {
		s.state = nil
		if errors.Is(err, lookup.ErrNotLeader) {
			a.leader, a.leaderEpoch = t.Partitions[s.index].Leader, t.Partitions[s.index].Epoch
		}
		return err
	}
	if p.watching {
		s.watch(p.watcher)
	}
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
	if s.lastEpoch > current {
		a.refuse(p.deps.Code(lookup.ErrUnknownEpoch))
		return
	}
	epoch, end := s.state.EpochEnd(s.lastEpoch)
	if epoch >= 0 && (epoch < s.lastEpoch || end < s.offset) {
		a.diverged, a.divergedEpoch, a.divergedEnd = true, epoch, end
	}
}
