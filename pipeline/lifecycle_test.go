package pipeline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal is a node that records its Start and Run.
type journal struct {
	mu    *sync.Mutex
	lines *[]string
	name  string
	start func() error
}

func (j journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*j.lines = append(*j.lines, what+" "+j.name)
}

func (j journal) Start(context.Context) error {
	j.note("start")
	if j.start != nil {
		return j.start()
	}
	return nil
}

func (j journal) Run(ctx context.Context, in *In[int], out Emit[int]) error {
	defer j.note("return")
	return pass().Run(ctx, in, out)
}

func TestStartsDownstreamFirstAndReturnsUpstreamFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		var mu sync.Mutex
		gate := make(chan struct{})
		e := NewInlet[int]()
		g := New("g")
		p := Via(From(g, "src", e), "a", journal{&mu, &lines, "a", func() error { <-gate; return nil }})
		Into(Via(p, "b", journal{&mu, &lines, "b", nil}), "sink", ack(0))
		r := run(t, g, time.Minute)
		select {
		case <-g.Ready():
			t.Error("ready although a has not started")
		default:
		}
		var l receipts
		go func() { _ = e.Submit(t.Context(), Parcel[int]{1, 1, l.receipt()}) }() // waits for the start
		close(gate)
		<-g.Ready()
		synctest.Wait()
		if acked, _ := l.check(t); acked != 1 {
			t.Errorf("acked %d", acked)
		}
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if want := []string{"start b", "start a", "return a", "return b"}; !slices.Equal(lines, want) {
			t.Errorf("got %q, want %q", lines, want)
		}
	})
}

func TestFailedStart(t *testing.T) {
	boom := errors.New("boom")
	for name, start := range map[string]func() error{
		"error": func() error { return boom },
		"panic": func() error { panic(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines []string
				var mu sync.Mutex
				e := NewInlet[int]()
				g := New("g")
				p := Via(From(g, "src", e), "a", journal{&mu, &lines, "a", nil})
				p = Via(p, "b", journal{&mu, &lines, "b", start})
				Into(Via(p, "c", journal{&mu, &lines, "c", nil}), "sink", ack(0))
				var at *StageError
				err := <-run(t, g, time.Minute).done
				if !errors.Is(err, boom) || !errors.As(err, &at) || at.Stage != "b" {
					t.Errorf("got %v", err)
				}
				// Started nodes are run so that they can clean up; the others are left alone.
				if want := []string{"start c", "start b", "return c"}; !slices.Equal(lines, want) {
					t.Errorf("got %q, want %q", lines, want)
				}
				select {
				case <-g.Ready():
					t.Error("ready")
				default:
				}
				var l receipts
				if err := e.Submit(t.Context(), Parcel[int]{1, 1, l.receipt()}); err == nil {
					t.Error("a graph that failed to start accepted a parcel")
				}
				l.check(t)
			})
		})
	}
}

func TestEarlyReturnNeverAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		Into(From(g, "src", l.endless()), "lazy", SinkFunc[int](func(context.Context, *In[int]) error { return nil }))
		var at *StageError
		if err := g.Run(t.Context(), time.Minute); !errors.Is(err, ErrEarlyReturn) || !errors.As(err, &at) || at.Stage != "lazy" {
			t.Errorf("got %v", err)
		}
		if acked, _ := l.check(t); acked != 0 {
			t.Errorf("acked %d", acked)
		}
	})
}

func TestSourcePanicIsAttributed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New("g")
		p := From(g, "src", SourceFunc[int](func(context.Context, Emit[int]) error { panic("no source") }))
		Into(p, "sink", ack(0))
		var at *StageError
		var cause *PanicError
		err := g.Run(t.Context(), time.Minute)
		if !errors.As(err, &at) || at.Stage != "src" || !errors.As(err, &cause) || cause.Value != "no source" {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(string(cause.Stack), "lifecycle_test.go") {
			t.Error("the stack is not the panic's")
		}
	})
}

func TestFiniteSourceEndsTheGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		Into(Via(From(g, "src", l.first(100)), "pass", pass()), "sink", ack(0))
		if err := g.Run(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if acked, _ := l.check(t); acked != 100 {
			t.Errorf("acked %d", acked)
		}
	})
}

func TestDrainDeliversWhatTheSourceHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		Into(From(g, "src", l.endless()), "slow", ack(time.Second), Depth(1))
		r := run(t, g, time.Minute)
		begin := time.Now()
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		// One in the sink, one queued, one in the blocked emit of the source.
		if acked, nacked := l.check(t); acked != 3 || nacked != 0 || time.Since(begin) != 3*time.Second {
			t.Errorf("acked %d, nacked %d in %v", acked, nacked, time.Since(begin))
		}
	})
}

// Without a drain the end of the context aborts work in progress, which is not a
// failure.
func TestWithoutDrainAbortsWorkInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g", WithoutDrain())
		Into(From(g, "src", l.endless()), "stuck", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			p, err := in.Recv(ctx)
			if err != nil {
				return err
			}
			<-ctx.Done()
			p.Settle(context.Cause(ctx))
			return context.Cause(ctx)
		}))
		r := run(t, g, time.Minute)
		begin := time.Now()
		if err := r.drain(); err != nil {
			t.Error(err)
		}
		if acked, nacked := l.check(t); acked != 0 || nacked == 0 || time.Since(begin) != 0 {
			t.Errorf("acked %d, nacked %d in %v", acked, nacked, time.Since(begin))
		}
	})
}

// A failure before that is reported as usual.
func TestWithoutDrainReportsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		var l receipts
		g := New("g", WithoutDrain())
		Into(From(g, "src", l.endless()), "fails", SinkFunc[int](func(context.Context, *In[int]) error { return boom }))
		if err := <-run(t, g, time.Minute).done; !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		l.check(t)
	})
}

func TestInletRefusesAfterTheDrainBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		e := NewInlet[int]()
		g := New("g")
		Into(From(g, "src", e), "slow", ack(time.Second), Depth(1))
		r := run(t, g, time.Minute)
		errs := make(chan error, 5)
		for i := range 5 { // 1 in the sink, 1 queued, 3 wait
			go func() { errs <- e.Submit(t.Context(), Parcel[int]{i, 1, l.receipt()}) }()
		}
		synctest.Wait()
		expired, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := e.Submit(expired, Parcel[int]{9, 1, l.receipt()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		r.cancel()
		synctest.Wait()
		if err := e.Submit(t.Context(), Parcel[int]{9, 1, l.receipt()}); !errors.Is(err, ErrDraining) {
			t.Errorf("got %v", err)
		}
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		for range 5 {
			if err := <-errs; err != nil {
				t.Errorf("a call in progress got %v", err)
			}
		}
		if acked, nacked := l.check(t); acked != 5 || nacked != 2 {
			t.Errorf("acked %d, nacked %d", acked, nacked)
		}
	})
}

// After an abort nothing more is delivered or received, whatever is queued.
func TestAbortStopsWorkOnQueuedParcels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		boom := errors.New("boom")
		g := New("g")
		ports := Tee(From(g, "src", l.first(5)), "tee", 2)
		Into(ports[0], "dies", SinkFunc[int](func(context.Context, *In[int]) error {
			time.Sleep(time.Second)
			return boom
		}))
		late := Via(ports[1], "late", StageFunc[int, int](func(ctx context.Context, in *In[int], out Emit[int]) error {
			p, _ := in.Recv(ctx)
			time.Sleep(time.Minute)
			if err := out(ctx, p); !errors.Is(err, boom) {
				t.Errorf("emit: %v", err)
			}
			if _, err := in.Recv(ctx); !errors.Is(err, boom) {
				t.Errorf("recv: %v", err)
			}
			return nil
		}))
		Into(late, "sink", ack(0))
		if err := g.Run(t.Context(), time.Hour); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		if acked, nacked := l.check(t); acked != 0 || nacked != 5 {
			t.Errorf("acked %d, nacked %d", acked, nacked)
		}
	})
}

func TestStagesThatIgnoreTheAbortAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		var log bytes.Buffer
		g := New("g", WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		Into(From(g, "src", l.endless()), "deaf", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			p, _ := in.Recv(ctx)
			time.Sleep(time.Hour)
			p.Settle(nil)
			return nil
		}))
		if err := run(t, g, time.Second).drain(); !errors.Is(err, ErrDrainTimeout) {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(log.String(), "stages=[deaf]") {
			t.Errorf("log: %s", log.String())
		}
		l.check(t)
	})
}
