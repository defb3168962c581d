package load

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// meter counts the events of a run.
type meter struct {
	base time.Time
	// Records due in this period are in the histograms, in nanoseconds since base.
	from, to atomic.Int64

	acked, failed, consumed, backlog atomic.Int64

	mu       sync.Mutex
	produce  []*hdrhistogram.Histogram
	endToEnd []*hdrhistogram.Histogram
	failure  error // the first one
}

const never = int64(1) << 62

func newMeter() *meter {
	m := &meter{base: time.Now()}
	m.from.Store(never)
	m.to.Store(never)
	return m
}

func (m *meter) now() int64 { return int64(time.Since(m.base)) }

// stamp writes the due time and the number of a record to the start of value.
func stamp(value []byte, due, number int64) {
	binary.LittleEndian.PutUint64(value, uint64(due))
	binary.LittleEndian.PutUint64(value[8:], uint64(number))
}

func due(value []byte) int64    { return int64(binary.LittleEndian.Uint64(value)) }
func number(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value[8:])) }

// record notes a latency that ends now.
func (m *meter) record(h *hdrhistogram.Histogram, value []byte) {
	d := due(value)
	if d < m.from.Load() || d >= m.to.Load() {
		return
	}
	if h.RecordValue(m.now()-d) != nil {
		_ = h.RecordValue(h.HighestTrackableValue()) // longer than any run
	}
}

// ackedBy returns a producer's callback.
func (m *meter) ackedBy() func([]byte, error) {
	h := NewHistogram()
	m.mu.Lock()
	m.produce = append(m.produce, h)
	m.mu.Unlock()
	return func(value []byte, err error) {
		if err != nil {
			m.fail(err)
			return
		}
		m.acked.Add(1)
		m.record(h, value)
	}
}

// gotBy returns a consumer's callback; seen collects the records.
func (m *meter) gotBy(seen *tally) func([]byte) {
	h := NewHistogram()
	m.mu.Lock()
	m.endToEnd = append(m.endToEnd, h)
	m.mu.Unlock()
	return func(value []byte) {
		if len(value) < 16 {
			return
		}
		seen.add(number(value))
		m.consumed.Add(1)
		m.record(h, value)
	}
}

func (m *meter) fail(err error) {
	m.failed.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil {
		m.failure = err
	}
}

// tally is the set of record numbers that one group has received. Numbers are dense, so it is a
// bitmap.
type tally struct {
	mu    sync.Mutex
	words []uint64
	count int64
	twice int64
}

func (t *tally) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	word, bit := n/64, uint64(1)<<(n%64)
	for int64(len(t.words)) <= word {
		t.words = append(t.words, make([]uint64, 1024)...)
	}
	if t.words[word]&bit != 0 {
		t.twice++
		return
	}
	t.words[word] |= bit
	t.count++
}

func (t *tally) counts() (once, twice int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, t.twice
}
