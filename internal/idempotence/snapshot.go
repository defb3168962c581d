package idempotence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// A snapshot is a version byte, the time of the newest append in it, and producers in
// the order of their ids, up to its end. Numbers are varints, zigzag where signed.
//
//	byte    version 1
//	uint    newest: ms since epoch of the last append of all
//	then for each producer:
//	  int   id, less the id before (0 before the first)
//	  uint  epoch
//	  uint  newest, less the time of this producer's last append
//	  uint  number of batches, 1 to 5, then for each, the oldest first:
//	    uint  base offset, less the base offset of the batch before (0 before the first)
//	    uint  first sequence
//	    uint  last sequence, less the first, modulo 2^31
//
// An empty snapshot is no bytes at all.
const snapshotVersion = 1

var (
	// ErrCorrupt: the bytes are not a valid snapshot.
	ErrCorrupt = fault.Lost(kerr.KafkaStorageError, "corrupt snapshot of producers")
	// ErrUnsupported: the snapshot has a version that this build does not support.
	ErrUnsupported = fault.Lost(kerr.KafkaStorageError, "unsupported version of a snapshot of producers")
)

// producerState is one producer in a snapshot.
type producerState struct {
	id         int64
	appendedMs int64
	epoch      int16
	n          int
	batches    [Remembered]batch // oldest first
}

// Snapshot returns the state. Restore reads it back.
func (ps *Producers) Snapshot() []byte {
	ps.table.lock.Lock()
	defer ps.table.lock.Unlock()
	ids := make([]int64, 0, len(ps.m))
	var newest int64
	for id, p := range ps.m {
		ids = append(ids, id)
		newest = max(newest, p.appendedMs)
	}
	slices.Sort(ids)
	w := writer{newest: newest}
	for _, id := range ids {
		e := ps.m[id].state()
		w.put(&e)
	}
	return w.buf
}

func (p *producer) state() producerState {
	e := producerState{id: p.id, appendedMs: p.appendedMs, epoch: p.epoch, n: int(p.n)}
	for i := range e.n {
		e.batches[i] = p.batch(i)
	}
	return e
}

// Restore adds what a snapshot says and is not known yet, except producers whose
// last batch was appended before then (ms). The order in which several snapshots
// are restored, and concurrent appends, make no difference. After an error it has
// been restored in part.
func (ps *Producers) Restore(snapshot []byte, before int64) error {
	r, err := open(snapshot)
	for more := err == nil; more; {
		ps.table.lock.Lock()
		for range chunk {
			if more = r.next(); !more {
				break
			}
			if r.e.appendedMs >= before {
				ps.restore(r.e)
			}
		}
		ps.table.lock.Unlock()
	}
	return errors.Join(err, r.err)
}

// restore restores one producer.
func (ps *Producers) restore(e producerState) {
	p := ps.m[e.id]
	switch {
	case p == nil:
		if p = ps.open(e.id, e.appendedMs); p == nil {
			return
		}
	default:
		known := p.state()
		e.join(&known)
	}
	ps.table.wrote(p, max(p.appendedMs, e.appendedMs))
	p.epoch, p.n = e.epoch, 0
	for _, b := range e.batches[:e.n] {
		p.add(b)
	}
}

// Summary describes the content of a snapshot.
type Summary struct {
	Producers       int
	FirstID, LastID int64 // the lowest and the highest ID
	NewestMs        int64 // time of the most recent append
}

// Describe reads a snapshot to its end.
func Describe(snapshot []byte) (s Summary, err error) {
	r, err := open(snapshot)
	for err == nil && r.next() {
		if s.Producers == 0 {
			s.FirstID = r.e.id
		}
		s.Producers++
		s.LastID = r.e.id
	}
	s.NewestMs = r.newest
	return s, errors.Join(err, r.err)
}

// Merge returns the state of newer applied on top of older: for each producer the
// last five batches of its last epoch. Producers whose last batch was appended
// before then (ms) are left out.
func Merge(older, newer []byte, before int64) ([]byte, error) {
	a, errA := open(older)
	b, errB := open(newer)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	w := writer{newest: max(a.newest, b.newest)}
	inA, inB := a.next(), b.next()
	for inA || inB {
		e := &b.e
		switch {
		case !inB || inA && a.e.id < b.e.id:
			e = &a.e
		case inA && a.e.id == b.e.id:
			b.e.join(&a.e)
			inA = a.next()
		}
		if e.appendedMs >= before {
			w.put(e)
		}
		if e == &a.e {
			inA = a.next()
		} else {
			inB = b.next()
		}
	}
	return w.buf, errors.Join(a.err, b.err)
}

// join merges o into e: the last five batches of the epoch of the last batch.
func (e *producerState) join(o *producerState) {
	ms := max(e.appendedMs, o.appendedMs)
	switch later := o.batches[o.n-1].base > e.batches[e.n-1].base; {
	case e.epoch == o.epoch:
		e.unite(o)
	case later:
		*e = *o
	}
	e.appendedMs = ms
}

// unite adds the batches of o.
func (e *producerState) unite(o *producerState) {
	a, b := e.batches[:e.n], o.batches[:o.n]
	var all [Remembered]batch
	n := Remembered
	for n > 0 && len(a)+len(b) > 0 { // from the end
		from := &a
		if len(a) == 0 || len(b) > 0 && b[len(b)-1].base > a[len(a)-1].base {
			from = &b
		}
		last := (*from)[len(*from)-1]
		*from = (*from)[:len(*from)-1]
		if n == Remembered || all[n].base != last.base {
			n--
			all[n] = last
		}
	}
	e.n = copy(e.batches[:], all[n:])
}

// writer appends producers in the order of their IDs.
type writer struct {
	newest int64
	buf    []byte
	id     int64 // of the previous producer
}

func (w *writer) put(e *producerState) {
	if len(w.buf) == 0 {
		w.buf = binary.AppendUvarint(append(w.buf, snapshotVersion), uint64(w.newest))
	}
	w.buf = binary.AppendVarint(w.buf, e.id-w.id)
	w.id = e.id
	w.buf = binary.AppendUvarint(w.buf, uint64(uint16(e.epoch)))
	w.buf = binary.AppendUvarint(w.buf, uint64(w.newest-e.appendedMs))
	w.buf = binary.AppendUvarint(w.buf, uint64(e.n))
	base := int64(0)
	for _, b := range e.batches[:e.n] {
		w.buf = binary.AppendUvarint(w.buf, uint64(b.base-base))
		w.buf = binary.AppendUvarint(w.buf, uint64(uint32(b.first)))
		w.buf = binary.AppendUvarint(w.buf, uint64(uint32(b.last-b.first)&math.MaxInt32))
		base = b.base
	}
}

// reader iterates over a snapshot without allocating.
type reader struct {
	buf    []byte
	newest int64
	begun  bool
	e      producerState // the current producer
	err    error
}

func open(b []byte) (*reader, error) {
	r := &reader{buf: b}
	if len(b) == 0 {
		return r, nil
	}
	if b[0] != snapshotVersion {
		return r, fmt.Errorf("%w: %d; this build reads up to version %d, upgrade it", ErrUnsupported, b[0], snapshotVersion)
	}
	r.buf = b[1:]
	r.newest = int64(r.uint(math.MaxInt64))
	return r, r.err
}

// next moves to the next producer; it returns false at the end, or at damage,
// which is in err.
func (r *reader) next() bool {
	if len(r.buf) == 0 || r.err != nil {
		return false
	}
	delta, n := binary.Varint(r.buf)
	if n <= 0 {
		r.fail("truncated number")
		return false
	}
	r.buf = r.buf[n:]
	id := r.e.id + delta
	if r.begun && id <= r.e.id {
		r.fail("producer ids are not in order")
		return false
	}
	r.begun = true
	e := producerState{id: id, epoch: int16(r.uint(math.MaxInt16)), appendedMs: r.newest - int64(r.uint(uint64(r.newest))),
		n: int(r.uint(Remembered))}
	base := int64(0)
	for i := range e.n {
		base += int64(r.uint(uint64(math.MaxInt64 - base)))
		first := int32(r.uint(math.MaxInt32))
		last := int32((uint32(first) + uint32(r.uint(math.MaxInt32))) & math.MaxInt32)
		e.batches[i] = batch{base, first, last}
		if i > 0 && base <= e.batches[i-1].base {
			r.fail("batches are not in order")
		}
	}
	if e.n == 0 {
		r.fail("a producer without batches")
	}
	r.e = e
	return r.err == nil
}

// uint reads a number up to most.
func (r *reader) uint(most uint64) uint64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 || v > most {
		r.fail("number is truncated or too large")
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	r.buf = nil
}
