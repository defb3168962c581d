package idempotence

import (
	"errors"
	"math"
	"sort"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
)

// Remembered is how many batches of a producer are kept to recognise retries.
// Clients may have at most five requests in flight, so five suffice (KIP-98).
const Remembered = 5

// NoProducer is the producer id of batches that are not idempotent.
const NoProducer = -1

var (
	// ErrOutOfOrder: the batch's first sequence does not follow the last one.
	ErrOutOfOrder = errors.New("out of order sequence number")
	// ErrFenced: a newer epoch of the producer id has written already.
	ErrFenced = errors.New("producer epoch is fenced")
)

// Batch is what the decision needs to know of a record batch.
type Batch struct {
	ProducerID    int64
	Epoch         int16
	FirstSequence int32
	LastSequence  int32
	AppendedMs    int64 // by the broker's clock, whatever the records' timestamps say; for Expire
}

// Header reads from b what the decision needs. appendedMs is when b was appended or,
// where only the log tells of it, now: forgetting late is safe, forgetting early is not.
func Header(b record.Batch, appendedMs int64) Batch {
	return Batch{ProducerID: b.ProducerID(), Epoch: b.ProducerEpoch(),
		FirstSequence: b.BaseSequence(), LastSequence: b.LastSequence(), AppendedMs: appendedMs}
}

// Producers is the state of one partition. The zero value knows no producer.
type Producers struct{ m map[int64]*producer }

type producer struct {
	epoch   int16
	n       int
	batches [Remembered]meta.ProducerBatch // oldest first, n in use
}

func (p *producer) last() *meta.ProducerBatch { return &p.batches[p.n-1] }

// Restore returns the state that a snapshot describes.
func Restore(snapshot []meta.ProducerState) Producers {
	var ps Producers
	for _, s := range snapshot {
		for _, b := range s.Batches {
			ps.Append(Batch{s.ID, s.Epoch, b.FirstSequence, b.LastSequence, b.Timestamp}, b.BaseOffset)
		}
	}
	return ps
}

// Check says what b is: new (dup false, nil), a retry of a batch whose base
// offset it returns (dup true), or refused with ErrOutOfOrder or ErrFenced.
// A producer id that is not known may begin at any sequence, since its state
// may have been lost with the records it wrote (KIP-360).
func (ps *Producers) Check(b Batch) (base int64, dup bool, err error) {
	if b.ProducerID == NoProducer {
		return 0, false, nil
	}
	p, ok := ps.m[b.ProducerID]
	switch {
	case !ok:
		return 0, false, nil
	case b.Epoch < p.epoch:
		return 0, false, ErrFenced
	case b.Epoch > p.epoch:
		if b.FirstSequence != 0 {
			return 0, false, ErrOutOfOrder
		}
		return 0, false, nil
	}
	for _, r := range p.batches[:p.n] {
		if r.FirstSequence == b.FirstSequence && r.LastSequence == b.LastSequence {
			return r.BaseOffset, true, nil
		}
	}
	if next(p.last().LastSequence) != b.FirstSequence {
		return 0, false, ErrOutOfOrder
	}
	return 0, false, nil
}

// next is the sequence after s; sequences wrap from MaxInt32 to 0.
func next(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}

// Append records that b was appended at base. REQUIRES: Check accepted b, or b
// was read from the log.
func (ps *Producers) Append(b Batch, base int64) {
	if b.ProducerID == NoProducer {
		return
	}
	if ps.m == nil {
		ps.m = make(map[int64]*producer)
	}
	p, ok := ps.m[b.ProducerID]
	if !ok || p.epoch != b.Epoch {
		p = &producer{epoch: b.Epoch}
		ps.m[b.ProducerID] = p
	}
	if p.n == Remembered {
		copy(p.batches[:], p.batches[1:])
		p.n--
	}
	p.batches[p.n] = meta.ProducerBatch{FirstSequence: b.FirstSequence, LastSequence: b.LastSequence,
		BaseOffset: base, Timestamp: b.AppendedMs}
	p.n++
}

// Expire forgets producers whose last batch was appended before then (ms).
func (ps *Producers) Expire(before int64) {
	for id, p := range ps.m {
		if p.last().Timestamp < before {
			delete(ps.m, id)
		}
	}
}

// Len returns how many producer ids are known.
func (ps *Producers) Len() int { return len(ps.m) }

// Snapshot returns the state sorted by producer id; Restore reads it back.
func (ps *Producers) Snapshot() []meta.ProducerState {
	out := make([]meta.ProducerState, 0, len(ps.m))
	for id, p := range ps.m {
		out = append(out, meta.ProducerState{ID: id, Epoch: p.epoch,
			Batches: append([]meta.ProducerBatch(nil), p.batches[:p.n]...)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}
