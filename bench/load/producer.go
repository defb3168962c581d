package load

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/bench/workloads"
)

// source generates the records of one producer.
type source struct {
	id      int
	w       workloads.Workload
	meter   *meter
	numbers *atomic.Int64 // shared: the next record's number
	limit   int64         // end of the numbers
	fill    []byte        // source of record contents
	slab    []byte
	sent    int64
	unsent  int64 // due by the schedule and never sent
}

const (
	fillBytes = 1 << 20
	slabBytes = 64 << 10
	// lateLimit is how long after its end the schedule is still processed.
	lateLimit = 5 * time.Second
)

// newFill returns incompressible bytes.
func newFill() []byte {
	b := make([]byte, fillBytes)
	_, _ = rand.NewChaCha8([32]byte{'s', 'l', 'u', 'i', 'c', 'e'}).Read(b) // never fails
	return b
}

// next returns the value of the next record, due at a time, or nil after the last.
func (s *source) next(due int64) []byte {
	n := s.numbers.Add(1) - 1
	if n >= s.limit {
		return nil
	}
	size := s.w.RecordBytes
	if len(s.slab) < size {
		s.slab = make([]byte, max(size, slabBytes/size*size))
	}
	value := s.slab[:size:size]
	s.slab = s.slab[size:]
	copy(value, s.fill[int(n*131)%(fillBytes-min(size, fillBytes-1)):])
	stamp(value, due, n)
	return value
}

// run sends records until the limit, the time, or ctx ends. With a rate each record is due an
// interval after the previous one.
func (s *source) run(ctx context.Context, p Producer, until time.Duration, rate float64) error {
	begin := s.meter.now()
	end := begin + int64(until)
	interval := float64(0)
	if rate > 0 {
		interval = float64(time.Second) * float64(s.w.Producers) / rate
	}
	for i := 0; ctx.Err() == nil; i++ {
		due := s.meter.now()
		if interval > 0 {
			due = begin + int64((float64(i)+float64(s.id)/float64(s.w.Producers))*interval)
			s.wait(ctx, due)
		}
		if due >= end {
			return nil
		}
		if late := s.meter.now() - end; late > int64(lateLimit) {
			s.unsent += int64(float64(end-due) / interval)
			return nil
		}
		value := s.next(due)
		if value == nil {
			return nil
		}
		if err := p.Send(ctx, s.w.Partition(s.id, s.sent), value); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.sent++
	}
	return nil
}

// wait returns when a record is due. Records due within a moment are sent at once, since a
// shorter sleep costs more than it gains.
func (s *source) wait(ctx context.Context, due int64) {
	const moment = 50 * time.Microsecond
	ahead := time.Duration(due - s.meter.now())
	if ahead < moment {
		return
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
