package pipeline

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receipts hands out receipts and counts their verdicts.
type receipts struct{ made, acked, nacked atomic.Int64 }

func (l *receipts) receipt() *Receipt {
	l.made.Add(1)
	return NewReceipt(func(err error) {
		if err == nil {
			l.acked.Add(1)
		} else {
			l.nacked.Add(1)
		}
	})
}

// check fails unless every receipt was settled, and returns the counts.
func (l *receipts) check(t *testing.T) (acked, nacked int64) {
	t.Helper()
	acked, nacked = l.acked.Load(), l.nacked.Load()
	if made := l.made.Load(); made != acked+nacked {
		t.Errorf("made %d receipts, %d settled", made, acked+nacked)
	}
	return acked, nacked
}

// endless emits 0, 1, 2, ... until the drain begins.
func (l *receipts) endless() Source[int] {
	return SourceFunc[int](func(ctx context.Context, out Emit[int]) error {
		for i := 0; ctx.Err() == nil; i++ {
			if out(ctx, Parcel[int]{i, 1, l.receipt()}) != nil {
				return nil
			}
		}
		return nil
	})
}

// first emits 0 to n-1 and returns.
func (l *receipts) first(n int) Source[int] {
	return SourceFunc[int](func(ctx context.Context, out Emit[int]) error {
		for i := range n {
			if out(ctx, Parcel[int]{i, 1, l.receipt()}) != nil {
				return nil
			}
		}
		return nil
	})
}

// pass is a stage that does nothing.
func pass() Stage[int, int] {
	return Each(func(_ context.Context, v int) (int, error) { return v, nil })
}

// ack is a sink that acknowledges each parcel after a delay.
func ack(after time.Duration) Sink[int] {
	return SinkFunc[int](func(ctx context.Context, in *In[int]) error {
		for p := range in.All(ctx) {
			if after > 0 {
				time.Sleep(after)
			}
			p.Settle(nil)
		}
		return nil
	})
}

// running is a running graph in a synctest bubble.
type running struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
}

func run(t *testing.T, g *Graph, grace time.Duration) *running {
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t, cancel, make(chan error, 1)}
	go func() { r.done <- g.Run(ctx, grace) }()
	synctest.Wait()
	return r
}

func (r *running) drain() error {
	r.cancel()
	return <-r.done
}

func TestBackPressureIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		p := Via(From(g, "src", l.endless()), "pass", pass(), Depth(2))
		Into(p, "sink", ack(time.Second), Depth(2))
		r := run(t, g, time.Minute)
		// 1 in the sink, 2 queued, 1 held by the stage, 2 queued, 1 in the source.
		if n := l.made.Load(); n != 7 {
			t.Errorf("made %d, want 7", n)
		}
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if acked, nacked := l.check(t); acked != 7 || nacked != 0 {
			t.Errorf("acked %d, nacked %d, want all 7 acked", acked, nacked)
		}
	})
}

func TestDrainTimeoutNamesWhoHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		p := Via(From(g, "src", l.endless()), "pass", pass(), Depth(1))
		Into(p, "stuck", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			p, _ := in.Recv(ctx)
			<-ctx.Done()
			p.Settle(context.Cause(ctx))
			return nil
		}), Depth(1))
		err := run(t, g, 5*time.Second).drain()
		var timeout *DrainTimeoutError
		if !errors.Is(err, ErrDrainTimeout) || !errors.As(err, &timeout) {
			t.Fatal(err)
		}
		if len(timeout.Stages) != 1 || timeout.Stages[0] != "stuck" {
			t.Errorf("hung: %v, want stuck alone", timeout.Stages)
		}
		if acked, nacked := l.check(t); acked != 0 || nacked != 5 {
			t.Errorf("acked %d, nacked %d, want 0 and 5", acked, nacked)
		}
	})
}

func TestDeadStageNacksEverything(t *testing.T) {
	boom := errors.New("boom")
	for name, die := range map[string]func() error{
		"error":  func() error { return boom },
		"panic":  func() error { panic(boom) },
		"goexit": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l receipts
				g := New("g")
				p := Via(From(g, "src", l.endless()), "dies", StageFunc[int, int](
					func(ctx context.Context, in *In[int], out Emit[int]) error {
						p, _ := in.Recv(ctx)
						_ = out(ctx, p)
						var hand [3]Parcel[int]
						_, _ = in.RecvBatch(ctx, hand[:]) // never settled
						time.Sleep(time.Second)
						if die == nil {
							runtime.Goexit()
						}
						return die()
					}), Depth(4))
				Into(p, "sink", ack(0))
				err := <-run(t, g, time.Minute).done
				var at *StageError
				if !errors.As(err, &at) || at.Stage != "dies" || at.Graph != "g" {
					t.Errorf("%v, want it to name g/dies", err)
				}
				if die != nil && !errors.Is(err, boom) {
					t.Errorf("%v does not wrap the cause", err)
				}
				if acked, _ := l.check(t); acked != 1 {
					t.Errorf("acked %d, want 1", acked)
				}
			})
		})
	}
}
