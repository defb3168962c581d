// Package pipelinetest is for tests of stages and graphs: receipts that are
// accounted for, and a driver for a single stage.
package pipelinetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/pipeline"
)

// Ledger makes receipts and fails the test at its end if one was never settled:
// a leaked receipt is a client that waits forever and bytes that are charged
// forever. All methods may be called concurrently.
type Ledger struct {
	mu       sync.Mutex
	verdicts []verdict
}

type verdict struct {
	settled bool
	err     error
}

// NewLedger returns a Ledger that checks itself when t ends.
func NewLedger(t testing.TB) *Ledger {
	l := &Ledger{}
	t.Cleanup(func() { l.Check(t) })
	return l
}

// Receipt returns a new receipt; they are numbered from 0.
func (l *Ledger) Receipt() *pipeline.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.verdicts)
	l.verdicts = append(l.verdicts, verdict{})
	return pipeline.NewReceipt(func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.verdicts[i] = verdict{true, err}
	})
}

// Verdict returns whether receipt i was settled, and with what.
func (l *Ledger) Verdict(i int) (settled bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.verdicts[i]
	return v.settled, v.err
}

// Counts returns how many receipts were made, settled with nil and with an error.
func (l *Ledger) Counts() (made, acked, nacked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.verdicts {
		switch {
		case !v.settled:
		case v.err == nil:
			acked++
		default:
			nacked++
		}
	}
	return len(l.verdicts), acked, nacked
}

// Check reports every receipt that is not settled.
func (l *Ledger) Check(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, v := range l.verdicts {
		if !v.settled {
			t.Errorf("receipt %d of %d was never settled", i, len(l.verdicts))
		}
	}
}

// Drive runs s as the only stage of a graph: it is fed the bodies in order, what
// it emits is acknowledged and returned, and verdicts holds what became of each
// body. The test fails if a receipt leaks. err is that of the graph.
func Drive[I, O any](t testing.TB, s pipeline.Stage[I, O], bodies ...I) (out []O, verdicts []error, err error) {
	t.Helper()
	verdicts, err = drive(t, bodies, func(from pipeline.Port[I]) {
		pipeline.Into(pipeline.Via(from, "stage", s), "collect", pipeline.SinkFunc[O](
			func(ctx context.Context, in *pipeline.In[O]) error {
				for p := range in.All(ctx) {
					out = append(out, p.Body)
					p.Settle(nil)
				}
				return nil
			}))
	})
	return out, verdicts, err
}

// DriveSink is Drive for the end of a pipeline.
func DriveSink[I any](t testing.TB, s pipeline.Sink[I], bodies ...I) (verdicts []error, err error) {
	t.Helper()
	return drive(t, bodies, func(from pipeline.Port[I]) { pipeline.Into(from, "sink", s) })
}

func drive[I any](t testing.TB, bodies []I, wire func(pipeline.Port[I])) (verdicts []error, err error) {
	t.Helper()
	l := &Ledger{}
	g := pipeline.New("test")
	wire(pipeline.From(g, "feed", pipeline.SourceFunc[I](func(ctx context.Context, emit pipeline.Emit[I]) error {
		for _, b := range bodies {
			// What cannot be emitted any more is nacked, which verdicts tells.
			_ = emit(ctx, pipeline.Parcel[I]{Body: b, Size: 1, Receipt: l.Receipt()})
		}
		return nil
	})))
	err = g.Run(t.Context(), time.Minute)
	l.Check(t)
	for i := range bodies {
		_, verdict := l.Verdict(i)
		verdicts = append(verdicts, verdict)
	}
	return verdicts, err
}
