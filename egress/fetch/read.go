package fetch

import (
	"context"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// answer is what one partition is answered with.
type answer struct {
	slot                 *slot
	code                 int16
	patient              bool  // the code waits as long as records would: what it says will not pass by itself
	hw, stable, logStart int64 // -1 with a code
	leader, leaderEpoch  int32 // -1 unless the client should go there

	diverged      bool
	divergedEpoch int32
	divergedEnd   int64

	wanted bool // there is something to read
	read   *flow.Read
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

// read has the wanted answers filled by the read pipeline, within the budget.
// The segments are valid until release, which may be nil.
func (p *poll) read(ctx context.Context) (release func()) {
	defer p.tell()
	f := p.fetch()
	if len(f.Reads) == 0 {
		return nil
	}
	claim, err := p.claim(ctx)
	if err != nil {
		return nil // the connection has ended
	}
	f.MaxBytes = int(min(int64(p.limit), claim.Size()))
	done := make(chan error, 1)
	// Submit owns the parcel even when it fails; the receipt tells.
	_ = p.deps.Reader.Submit(ctx, pipeline.Parcel[*flow.Fetch]{Body: f, Size: claim.Size(),
		Receipt: pipeline.NewReceipt(func(err error) { done <- err })})
	claim.Correct(p.collect(<-done))
	return func() {
		for _, r := range f.Reads {
			r.Release()
		}
		claim.Release()
	}
}

// claim charges the answer before it is read: all that is due if there is plenty of
// room, else less, but never less than the first batch, which is returned in any case.
func (p *poll) claim(ctx context.Context) (*pipeline.Claim, error) {
	first := int64(min(p.first, p.cfg.MaxBytes))
	return p.budget.ClaimUpTo(ctx, p.who, max(1, first), max(1, first, int64(p.due)))
}

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
			a.refuse(p.deps.Code(err))
			continue
		}
		s := a.slot.state
		a.logStart, a.hw, a.stable = s.LogStart(), s.HighWatermark(), s.LastStable()
		if a.read.Bytes > 0 && p.session != nil {
			p.session.cursor = a.slot.at + 1
		}
		bytes += int64(a.read.Bytes)
	}
	return bytes
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
