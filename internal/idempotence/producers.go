package idempotence

import (
	"errors"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/record"
)

// Remembered is how many batches of a producer are kept to recognise retries.
// Clients may have at most five requests in flight, so five suffice (KIP-98).
const Remembered = 5

// NoProducer is the producer id of batches that are not idempotent.
const NoProducer = -1

var (
	// ErrOutOfOrder: the batch's first sequence number does not follow the last one.
	ErrOutOfOrder = fault.Refused(kerr.OutOfOrderSequenceNumber, "out of order sequence number")
	// ErrFenced: a newer epoch of the producer id has written already.
	ErrFenced = fault.Refused(kerr.InvalidProducerEpoch, "producer epoch is fenced")
	// ErrLoading: it is unknown whether the batch is new until the partition's
	// snapshots have been read. It may be sent again.
	ErrLoading = fault.Transient(kerr.LeaderNotAvailable, "the idempotent producers of the partition are not loaded yet")
)

// Batch is the part of a record batch that the decision needs.
type Batch struct {
	ProducerID    int64
	Epoch         int16
	FirstSequence int32
	LastSequence  int32
	AppendedMs    int64 // by the broker's clock, whatever the records' timestamps; for Expire
}

// Header extracts from b what the decision needs. appendedMs is when b was
// appended or, if only the log is known, now: forgetting late is safe, forgetting
// early is not.
func Header(b record.Batch, appendedMs int64) Batch {
	return Batch{ProducerID: b.ProducerID(), Epoch: b.ProducerEpoch(),
		FirstSequence: b.BaseSequence(), LastSequence: b.LastSequence(), AppendedMs: appendedMs}
}

// Producers is the state of one partition. Its table's lock guards it; the caller
// ensures that nothing else is appended between Check and Append.
type Producers struct {
	table       *Table
	m           map[int64]*producer
	loading     bool // snapshots with IDs from first to last have not been read yet
	first, last int64
	refused     bool  // some batches were refused while loading
	strictMs    int64 // until then refused batches may return, in any order
}

// Len returns the number of known producer IDs.
func (ps *Producers) Len() int {
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	return len(ps.m)
}

// Close forgets all of them.
func (ps *Producers) Close() {
	for left := 1; left > 0; {
		ps.table.lock.Lock()
		n := 0
		for _, p := range ps.m {
			if ps.table.remove(p); n == chunk {
				break
			}
			n++
		}
		left = len(ps.m)
		ps.table.lock.Unlock()
	}
}

// Last returns the base offset of a producer's last known batch.
func (ps *Producers) Last(id int64) (base int64, ok bool) {
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	if p := ps.m[id]; p != nil {
		return p.last.base, true
	}
	return 0, false
}

// graceMs is how long after loading the batches refused meanwhile may return. A
// later batch of a producer may arrive before an earlier one, and must not be
// taken for the start of an unknown producer.
const graceMs = 10_000

// Loaded says that all snapshots have been restored.
func (ps *Producers) Loaded(nowMs int64) {
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	if ps.loading = false; ps.refused {
		ps.strictMs = nowMs + graceMs
	}
}

// Check classifies b as new (dup false, nil), as a retry of a batch whose base
// offset it returns (dup true), or refuses it with ErrOutOfOrder, ErrFenced or
// ErrLoading. An unknown producer ID may start at any sequence number, since its
// state may have been lost with its records (KIP-360).
func (ps *Producers) Check(b Batch) (base int64, dup bool, err error) {
	if b.ProducerID == NoProducer {
		return 0, false, nil
	}
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	p := ps.m[b.ProducerID]
	base, dup, err = p.check(b)
	switch {
	case ps.loading && b.ProducerID >= ps.first && b.ProducerID <= ps.last && (p == nil || errors.Is(err, ErrOutOfOrder)):
		ps.refused = true
		return 0, false, ErrLoading
	case b.AppendedMs < ps.strictMs && (p == nil && b.FirstSequence != 0 || errors.Is(err, ErrOutOfOrder)):
		return 0, false, ErrLoading
	}
	return base, dup, err
}

func (p *producer) check(b Batch) (base int64, dup bool, err error) {
	switch {
	case p == nil:
		return 0, false, nil
	case b.Epoch < p.epoch:
		return 0, false, ErrFenced
	case b.Epoch > p.epoch:
		if b.FirstSequence != 0 {
			return 0, false, ErrOutOfOrder
		}
		return 0, false, nil
	}
	for i := range int(p.n) {
		if r := p.batch(i); r.first == b.FirstSequence && r.last == b.LastSequence {
			return r.base, true, nil
		}
	}
	if next(p.last.last) != b.FirstSequence {
		return 0, false, ErrOutOfOrder
	}
	return 0, false, nil
}

// next is the sequence number after s; sequence numbers wrap from MaxInt32 to 0.
func next(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}

// batch returns the i-th remembered batch, oldest first.
func (p *producer) batch(i int) batch {
	if i == int(p.n)-1 {
		return p.last
	}
	return p.earlier[i]
}

// Append records that b was appended at base. A batch that was recorded before
// changes nothing. REQUIRES: Check accepted b, or b was read from the log.
func (ps *Producers) Append(b Batch, base int64) {
	if b.ProducerID == NoProducer {
		return
	}
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	t, p := ps.table, ps.m[b.ProducerID]
	switch {
	case p == nil:
		if p = ps.open(b.ProducerID, b.AppendedMs); p == nil {
			return
		}
	case base <= p.last.base:
		return
	default:
		t.wrote(p, b.AppendedMs)
	}
	if p.epoch != b.Epoch {
		p.epoch, p.n = b.Epoch, 0
	}
	p.add(batch{base, b.FirstSequence, b.LastSequence})
}

// open creates a producer; it returns nil if there is no memory for one that has
// been idle for so long.
func (ps *Producers) open(id, appendedMs int64) *producer {
	t := ps.table
	if !t.makeRoom(producerBytes+bucketBytes, appendedMs, nil) {
		t.evicted++
		return nil
	}
	p := &producer{id: id, of: ps, appendedMs: appendedMs}
	ps.m[id] = p
	t.used += producerBytes
	t.ids++
	t.put(p)
	return p
}

// add adds b after the last batch. Without memory for the earlier batches, only b
// is kept.
func (p *producer) add(b batch) {
	t := p.of.table
	if p.n > 0 && p.earlier == nil {
		if !t.makeRoom(earlierBytes, p.appendedMs, p) {
			p.n = 0
		} else {
			p.earlier = new([Remembered - 1]batch)
			t.used += earlierBytes
		}
	}
	if p.n == Remembered {
		copy(p.earlier[:], p.earlier[1:])
		p.n--
	}
	if p.n > 0 {
		p.earlier[p.n-1] = p.last
	}
	p.last = b
	p.n++
}

// Rollback forgets the batches at offset from and after it, which are not in the log after all.
// What they displaced from memory stays forgotten: a producer has no more batches in flight than
// are remembered, and those that were refused are among them.
func (ps *Producers) Rollback(from int64) {
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	for _, p := range ps.m {
		if p.last.base >= from {
			p.rollback(from)
		}
	}
}

func (p *producer) rollback(from int64) {
	first := p.last.first // of the batches that are forgotten
	for p.n > 0 && p.last.base >= from {
		first = p.last.first
		if p.n--; p.n > 0 {
			p.last = p.earlier[p.n-1]
		}
	}
	switch {
	case p.n > 0:
	case first == 0: // it may have begun with them
		p.of.table.remove(p)
	default: // it continues where they began; the retry of an earlier batch is not known
		p.n, p.last = 1, batch{base: from - 1, first: NoProducer, last: first - 1}
	}
}
