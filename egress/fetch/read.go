package fetch

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// answer is the response for one partition.
type answer struct {
	slot                 *slot
	code                 int16
	patient              bool  // report the code only after MaxWait: the condition does not pass by itself
	unknown              bool  // the code means that the partition does not exist
	hw, stable, logStart int64 // -1 on errors
	leader, leaderEpoch  int32 // -1 unless the client is redirected

	diverged      bool
	divergedEpoch int32
	divergedEnd   int64

	wanted bool // there is something to read
	read   *flow.Read
}

// noAnswer returns the initial answer of a partition.
func noAnswer(s *slot) answer {
	return answer{slot: s, hw: -1, stable: -1, logStart: -1, leader: -1, leaderEpoch: -1}
}

func (a *answer) refuse(code int16) {
	a.code, a.hw, a.stable, a.logStart = code, -1, -1, -1
}

// end returns the first offset that a reader with that isolation level may not read.
func (a *answer) end(isolation int8) int64 {
	if isolation == readCommitted {
		return a.stable
	}
	return a.hw
}

// read fills the wanted answers through the read pipeline, within the budget. Whatever an
// object store has not delivered by the client's deadline is left out; the client's next fetch
// finds it. The segments are valid until release, which may be nil. again means that there is
// nothing to return yet but something has arrived that needs another scan.
func (p *poll) read() (release func(), again bool) {
	ctx, done := p.cancellable()
	defer done()
	f := p.fetch()
	if len(f.Reads) == 0 {
		p.tell()
		return nil, false
	}
	claim, err := p.claim(ctx)
	if err != nil { // the connection has ended, or the memory is needed for others
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

// claim charges the response before it is read: everything due if the budget is plentiful, else
// less, but at least the first batch, which is always returned.
func (p *poll) claim(ctx context.Context) (*pipeline.Claim, error) {
	first := int64(min(p.first, p.cfg.MaxBytes))
	return p.budget.ClaimUpTo(ctx, p.who, max(1, first), max(1, first, int64(p.due)))
}

// leastRead is how long reads may always take, even if the client wants its response at once.
const leastRead = 100 * time.Millisecond

// leaveOut drops the planned reads from the response.
func (p *poll) leaveOut() {
	for i := range p.answers {
		p.answers[i].read = nil
	}
}

// submit passes the reads to the read pipeline. The reads end at the client's deadline, when
// the poll or the server ends, or, if woken, when another partition has something to read: new
// records must not wait for old ones.
func (p *poll) submit(ctx context.Context, f *flow.Fetch, size int64) (_ error, woken bool) {
	due, cancel := context.WithTimeout(ctx, max(leastRead, time.Until(p.until)))
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	f.Due = due.Done()
	news := p.listen()
	defer p.unlisten()
	done := make(chan error, 1)
	// Submit owns the parcel even if it fails; the receipt reports the error.
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

// armNews registers for wake-ups from slots that had nothing to read; it returns true if one
// already has.
func (p *poll) armNews() (already bool) {
	by := p.watcher()
	for _, s := range p.slots {
		if !s.behind {
			already = s.arm(by, 1) || already
		}
	}
	return already
}

// newsAgain limits how often a reading poll checks for new records.
const newsAgain = 10 * time.Millisecond

// isNew reports whether a slot has something to read that had nothing when the poll started
// reading.
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

// failed reports whether reading a partition failed.
func (p *poll) failed() bool {
	for i := range p.answers {
		if a := &p.answers[i]; a.wanted && a.code != 0 {
			return true
		}
	}
	return false
}

// hold delays a response that has read errors and no records, since many clients retry at once.
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

// fetch builds the body of the read parcel.
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

// collect stores the results of the reads and returns their bytes. Watermarks are read after
// the records, so that none is below a returned record.
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
		p.session.cursor++ // so that slow partitions do not starve others
	}
	return bytes
}

// readCode returns the code of a failed read. Consumers stop on codes that they do not expect
// in a Fetch response. Other errors become KAFKA_STORAGE_ERROR, which they retry.
func (p *poll) readCode(err error) int16 {
	code := fault.Code(err)
	switch code {
	case kerr.OffsetOutOfRange.Code, kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.UnknownTopicID.Code,
		kerr.FencedLeaderEpoch.Code, kerr.UnknownLeaderEpoch.Code, kerr.KafkaStorageError.Code, kerr.InvalidRecord.Code:
		return code
	case kerr.UnknownServerError.Code:
		if now, before := time.Now().Unix(), p.unknown.Load(); now != before && p.unknown.CompareAndSwap(before, now) {
			p.deps.Log.Error("read failed with an error that has no Kafka code; clients will retry", "err", err)
		}
	}
	return kerr.KafkaStorageError.Code
}

// tell records what the session's reader knows after this response.
func (p *poll) tell() {
	if p.session == nil {
		return
	}
	for i := range p.answers {
		a := &p.answers[i]
		a.slot.toldHW, a.slot.toldStart = a.hw, a.logStart
	}
}
