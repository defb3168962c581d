package load_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

// memory is a system with an in-memory log that acknowledges at once, unless a test changes
// that.
type memory struct {
	mu      sync.Mutex
	log     [][]byte
	grown   chan struct{}
	sends   int
	onSend  func(n int) (drop bool, err error) // called without the lock; may sleep
	deliver func(n int) int                    // how often the n-th record is delivered
}

func (m *memory) Prepare(context.Context, workloads.Workload) error {
	m.grown = make(chan struct{})
	return nil
}

func (m *memory) Close(context.Context) error { return nil }

type memoryProducer struct {
	m     *memory
	acked func([]byte, error)
}

func (m *memory) NewProducer(_ context.Context, acked func([]byte, error)) (load.Producer, error) {
	return &memoryProducer{m, acked}, nil
}

func (p *memoryProducer) Send(_ context.Context, _ int32, value []byte) error {
	p.m.mu.Lock()
	p.m.sends++
	n := p.m.sends
	p.m.mu.Unlock()
	if p.m.onSend != nil {
		drop, err := p.m.onSend(n)
		if err != nil || drop {
			p.acked(value, err)
			return nil
		}
	}
	p.m.mu.Lock()
	p.m.log = append(p.m.log, value)
	close(p.m.grown)
	p.m.grown = make(chan struct{})
	p.m.mu.Unlock()
	p.acked(value, nil)
	return nil
}

func (p *memoryProducer) Flush(context.Context) error { return nil }
func (p *memoryProducer) Close()                      {}

type memoryConsumer struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func (m *memory) NewConsumer(ctx context.Context, from load.Start, _, _ int, got func([]byte)) (load.Consumer, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &memoryConsumer{stop: stop}
	m.mu.Lock()
	at := len(m.log)
	m.mu.Unlock()
	if from == load.FromStart {
		at = 0
	}
	c.wg.Go(func() {
		for ctx.Err() == nil {
			m.mu.Lock()
			news, grown := m.log[at:], m.grown
			m.mu.Unlock()
			for _, v := range news {
				times := 1
				if m.deliver != nil {
					times = m.deliver(at)
				}
				for range times {
					got(v)
				}
				at++
			}
			if len(news) == 0 {
				select {
				case <-grown:
				case <-ctx.Done():
				}
			}
		}
	})
	return c, nil
}

func (c *memoryConsumer) Close() { c.stop(); c.wg.Wait() }

// workload returns a workload with a rate that takes a second in a synctest bubble.
func workload(t *testing.T, more string) workloads.Workload {
	t.Helper()
	w, err := workloads.Parse([]byte("name = 'x'\nproducers = 1\nrate = 100\ngroups = 2\nwarmup_s = 0.5\nduration_s = 2\n" + more))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRunCountsEachRecordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := load.Run(t.Context(), workload(t, ""), &memory{}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Acked != 200 || o.TotalAcked != 250 || o.RecordsPerS < 99 || o.RecordsPerS > 101 {
			t.Errorf("acknowledged %d and %d in all, %.1f a second", o.Acked, o.TotalAcked, o.RecordsPerS)
		}
		if o.Missing+o.Twice+o.Failed+o.Unsent != 0 {
			t.Errorf("missing %d, twice %d, failed %d, unsent %d", o.Missing, o.Twice, o.Failed, o.Unsent)
		}
		if o.Produce.Count != 200 || o.EndToEnd.Count != 400 {
			t.Errorf("%d latencies of produce, %d end to end", o.Produce.Count, o.EndToEnd.Count)
		}
		if got, want := o.MBPerS, o.RecordsPerS*1024/1e6; got < want*0.999 || got > want*1.001 {
			t.Errorf("%.4f MB/s, want %.4f", got, want)
		}
	})
}

// A stall of a second counts against all hundred records due during it, not only against the
// one that was blocked.
func TestStallCountsForAllThatWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{onSend: func(n int) (bool, error) {
			if n == 100 { // half a second into the measured time
				time.Sleep(time.Second)
			}
			return false, nil
		}}
		o, err := load.Run(t.Context(), workload(t, ""), m, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Produce.Count != 200 {
			t.Fatalf("%d latencies", o.Produce.Count)
		}
		// 100 of 200 waited between 1 s and 0, evenly.
		if o.Produce.P99 < 950 || o.Produce.P99 > 1010 || o.Produce.Mean < 230 || o.Produce.Mean > 270 {
			t.Errorf("p99 %.0f ms, mean %.0f ms; want about 980 and 250", o.Produce.P99, o.Produce.Mean)
		}
	})
}

// A system that is far too slow ends the run, and the outcome says what was not sent.
func TestTimetableIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{onSend: func(int) (bool, error) { time.Sleep(time.Second); return false, nil }}
		quick := workload(t, "")
		quick.WarmupS = 0
		o, err := load.Run(t.Context(), quick, m, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Unsent < 180 || o.Acked > 10 {
			t.Errorf("unsent %d, acknowledged %d", o.Unsent, o.Acked)
		}
	})
}

func TestLossAndDoublesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{
			onSend: func(n int) (bool, error) { return n%50 == 0, nil }, // acknowledged and not stored
			deliver: func(n int) int {
				if n == 7 {
					return 2
				}
				return 1
			},
		}
		o, err := load.Run(t.Context(), workload(t, ""), m, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Missing != 2*5 || o.Twice != 2*1 {
			t.Errorf("missing %d, twice %d; want 10 and 2 over two groups", o.Missing, o.Twice)
		}
	})
}

func TestFailuresAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{onSend: func(n int) (bool, error) {
			if n == 3 {
				return false, errors.New("disk on fire")
			}
			return false, nil
		}}
		o, err := load.Run(t.Context(), workload(t, ""), m, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Failed != 1 || o.TotalAcked != 249 || !strings.Contains(o.FirstError, "fire") || o.Missing != 0 {
			t.Errorf("failed %d, acknowledged %d, missing %d, %q", o.Failed, o.TotalAcked, o.Missing, o.FirstError)
		}
	})
}

func TestBacklogIsReadApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := load.Run(t.Context(), workload(t, "backlog_records = 1000"), &memory{}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.TotalAcked != 1250 || o.EndToEnd.Count != 400 || o.Missing+o.Twice != 0 {
			t.Errorf("acknowledged %d, delivered %d, missing %d, twice %d", o.TotalAcked, o.EndToEnd.Count, o.Missing, o.Twice)
		}
	})
}

// The backlog is on the other server, and read from there.
func TestBacklogElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := workload(t, "backlog_records = 1000\nbacklog_elsewhere = true")
		here, elsewhere := &memory{}, &memory{}
		o, err := load.Run(t.Context(), w, here, elsewhere, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.TotalAcked != 1250 || o.EndToEnd.Count != 400 || o.Missing+o.Twice != 0 {
			t.Errorf("acknowledged %d, delivered %d, missing %d, twice %d", o.TotalAcked, o.EndToEnd.Count, o.Missing, o.Twice)
		}
		if len(here.log) != 250 || len(elsewhere.log) != 1000 {
			t.Errorf("%d records are here and %d elsewhere", len(here.log), len(elsewhere.log))
		}
		if _, err := load.Run(t.Context(), w, &memory{}, nil, nil); err == nil || !strings.Contains(err.Error(), "second server") {
			t.Errorf("without another server: %v", err)
		}
	})
}

func TestFixedNumberOfRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		three := workload(t, "records = 70")
		three.Producers = 3
		o, err := load.Run(t.Context(), three, &memory{}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Acked != 70 || o.Missing != 0 {
			t.Errorf("acknowledged %d, missing %d", o.Acked, o.Missing)
		}
	})
}
