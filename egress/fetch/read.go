package fetch

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// answer is what one partition is answered with.
type answer struct {
	slot                 *slot
	code                 int16
	patient              bool  // the code waits as long as records would: what it says will not pass by itself
	unknown              bool  // the code says that there is no such partition
	hw, stable, logStart int64 // -1 with a code
	leader, leaderEpoch  int32 // -1 unless the client should go there

	diverged      bool
	divergedEpoch int32
	divergedEnd   int64

	wanted bool // there is something to read
	read   *flow.Read
}

// noAnswer is what a partition is answered with before anything is known of it.
func noAnswer(s *slot) answer {
	return answer{slot: s, hw: -1, stable: -1, logStart: -1, leader: -1, leaderEpoch: -1}
}

func (a *answer) refuse(code int16) {
	a.code, a.hw, a.stable, a.logStart = code, -1, -1, -1
}

// end is the first offset that a reader of that isolation may not have.
func (a *answer) end(isolation int8) int64 {
	if isolation == readCommitted {
		return a.stable
	}
	return a.hw
}

// read has the wanted answers filled by the read pipeline, within the budget. What an
// object store has not brought by the time the client wants its answer is left out;
// the client asks again, and finds it. The segments are valid until release, which
// may be nil. With again there is nothing to answer with yet, and something came that
// is to be looked at.
func (p *poll) read() (release func(), again bool) {
	ctx, done := p.cuttable()
	defer done()
	f := p.fetch()
	if len(f.Reads) == 0 {
		p.tell()
		return nil, false
	}
	claim, err := p.claim(ctx)
	if err != nil { // the connection has ended, or others need the room
		p.leaveOut()
		p.tell()
		return nil, false
	}
	f.MaxBytes = int(min(int64(p.limit), claim.Size()))
	err, woken := p.submit(ctx, f, claim.Size())
	got, failed := p.collect(err), p.failed()
	if got == 0 && !failed && woken && !p.over() {
		f.Release()
		claim.Release()
		return nil, true
	}
	claim.Correct(got)
	if got == 0 && failed {
		p.hold(ctx)
	}
	p.tell()
	return func() {
		for _, r := range f.Reads {
			r.Release()
		}
		claim.Release()
	}, false
}

// claim charges the answer before it is read: all that is due if there is plenty of
// room, else less, but never less than the first batch, which is returned in any case.
func (p *poll) claim(ctx context.Context) (*pipeline.Claim, error) {
	first := int64(min(p.first, p.cfg.MaxBytes))
	return p.budget.ClaimUpTo(ctx, p.who, max(1, first), max(1, first, int64(p.due)))
}

// leastRead is how long reads may take in any case, also for a client that wants its
// answer at once.
const leastRead = 100 * time.Millisecond

// leaveOut takes back what was to be read.
func (p *poll) leaveOut() {
	for i := range p.answers {
		p.answers[i].read = nil
	}
}

// submit puts the reads through the read pipeline, which is to be done with them when
// the client wants its answer, when it or the server ends, or, woken, when there is
// something in another partition: what is new must not wait for what is old.
func (p *poll) submit(ctx context.Context, f *flow.Fetch, size int64) (_ error, woken bool) {
	due, cancel := context.WithTimeout(ctx, max(leastRead, time.Until(p.until)))
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	f.Due = due.Done()
	news := p.listen()
	defer p.unlisten()
	done := make(chan error, 1)
	// Submit owns the parcel even when it fails; the receipt tells.
	_ = p.deps.Reader.Submit(p.ctx, pipeline.Parcel[*flow.Fetch]{Body: f, Size: size,
		Receipt: pipeline.NewReceipt(func(err error) { done <- err })})
	for {
		p.heard()
		if !p.armNews() {
			select {
			case err := <-done:
				return err, false
			case <-news:
			}
		}
		if p.isNew() {
			cancel()
			return <-done, true
		}
		select {
		case err := <-done:
			return err, false
		case <-time.After(newsAgain):
		}
	}
}

// armNews has the poll told when something comes where there was nothing to read; it
// returns true if that is so already.
func (p *poll) armNews() (already bool) {
	by := p.watcher()
	for _, s := range p.slots {
		if !s.behind {
			already = s.arm(by, 1) || already
		}
	}
	return already
}

// newsAgain is how often a poll that reads looks whether there is news, at most.
const newsAgain = 10 * time.Millisecond

// isNew says whether there is something to read where there was not when the poll began
// to.
func (p *poll) isNew() bool {
	for _, s := range p.slots {
		if s.state == nil || s.behind {
			continue
		}
		s.mark = s.state.Mark()
		if end := s.state.HighWatermark(); s.offset < end && (p.asked.isolation != readCommitted || s.offset < s.state.LastStable()) {
			return true
		}
	}
	return false
}

// failed says whether a partition could not be read.
func (p *poll) failed() bool {
	for i := range p.answers {
		if a := &p.answers[i]; a.wanted && a.code != 0 {
			return true
		}
	}
	return false
}

// hold keeps an answer back that has errors of reads and no records: many clients ask
// again at once.
func (p *poll) hold(ctx context.Context) {
	timer := time.NewTimer(max(0, min(holdTime, time.Until(p.until))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closing:
	case <-ctx.Done():
	}
}

const holdTime = 200 * time.Millisecond

// fetch makes the body of the read parcel.
func (p *poll) fetch() *flow.Fetch {
	n := 0
	for i := range p.answers {
		if p.answers[i].wanted {
			n++
		}
	}
	flat := make([]flow.Read, n)
	f := &flow.Fetch{MaxBytes: p.limit, Reads: make([]*flow.Read, 0, n)}
	for i := range p.answers {
		a := &p.answers[i]
		if !a.wanted {
			continue
		}
		a.read = &flat[len(f.Reads)]
		a.read.State, a.read.Offset, a.read.MaxBytes = a.slot.state, a.slot.offset, max(1, int(a.slot.maxBytes))
		f.Reads = append(f.Reads, a.read)
	}
	return f
}

// collect takes over what became of the reads and returns their bytes. Marks
// are taken after the read, so that none lies below a record that is returned.
func (p *poll) collect(failed error) (bytes int64) {
	for i := range p.answers {
		a := &p.answers[i]
		if a.read == nil {
			continue
		}
		err := a.read.Err
		if err == nil {
			err = failed
		}
		if err != nil {
			a.read = nil
			a.refuse(p.readCode(err))
			continue
		}
		s := a.slot.state
		a.logStart, a.hw, a.stable = s.LogStart(), s.HighWatermark(), s.LastStable()
		if a.read.Bytes > 0 && p.session != nil {
			p.session.cursor = a.slot.at + 1
		}
		bytes += int64(a.read.Bytes)
	}
	if bytes == 0 && p.session != nil {
		p.session.cursor++ // so that what is slow does not take the turn of others
	}
	return bytes
}

// readCode returns the code of a read that failed. Consumers know only some codes in
// the answer to a fetch; with others they stop. What has none that they know is said
// to be the storage's, which they take for a reason to try again.
func (p *poll) readCode(err error) int16 {
	code := fault.Code(err)
	switch code {
	case kerr.OffsetOutOfRange.Code, kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.UnknownTopicID.Code,
		kerr.FencedLeaderEpoch.Code, kerr.UnknownLeaderEpoch.Code, kerr.KafkaStorageError.Code, kerr.InvalidRecord.Code:
		return code
	case kerr.UnknownServerError.Code:
		if now, before := time.Now().Unix(), p.unknown.Load(); now != before && p.unknown.CompareAndSwap(before, now) {
			p.deps.Log.Error("a read failed with an error that has no Kafka code; clients are told to try again", "err", err)
		}
	}
	return kerr.KafkaStorageError.Code
}

// tell notes what the reader of a session is told by this answer.
func (p *poll) tell() {
	if p.session == nil {
		return
	}
	for i := range p.answers {
		a := &p.answers[i]
		a.slot.toldHW, a.slot.toldStart = a.hw, a.logStart
	}
}
