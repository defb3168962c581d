// Package pipelinetest helps to test stages and graphs: it tracks receipts and
// drives a single stage.
package pipelinetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/pipeline"
)

// Receipts hands out receipts and fails the test at its end if one was never
// settled: a leaked receipt is a client that waits forever and bytes that are
// charged forever. All methods may be called concurrently.
type Receipts struct {
	mu       sync.Mutex
	verdicts []verdict
}

type verdict struct {
	settled bool
	err     error
}

// NewReceipts returns a Receipts that runs its check when t ends.
func NewReceipts(t testing.TB) *Receipts {
	l := &Receipts{}
	t.Cleanup(func() { l.Check(t) })
	return l
}

// Receipt returns a new receipt; receipts are numbered from 0.
func (l *Receipts) Receipt() *pipeline.Receipt {
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
func (l *Receipts) Verdict(i int) (settled bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.verdicts[i]
	return v.settled, v.err
}

// Counts returns how many receipts were handed out, settled with nil, and settled
// with an error.
func (l *Receipts) Counts() (made, acked, nacked int) {
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

// Check reports every unsettled receipt.
func (l *Receipts) Check(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, v := range l.verdicts {
		if !v.settled {
			t.Errorf("receipt %d of %d was never settled", i, len(l.verdicts))
		}
	}
}

// Drive runs s as the only stage of a graph. It feeds the bodies in order,
// acknowledges and returns what s emits, and reports each body's verdict. The
// test fails if a receipt leaks. err is the graph's error.
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

// DriveSink is Drive for a sink.
func DriveSink[I any](t testing.TB, s pipeline.Sink[I], bodies ...I) (verdicts []error, err error) {
	t.Helper()
	return drive(t, bodies, func(from pipeline.Port[I]) { pipeline.Into(from, "sink", s) })
}

func drive[I any](t testing.TB, bodies []I, wire func(pipeline.Port[I])) (verdicts []error, err error) {
	t.Helper()
	l := &Receipts{}
	g := pipeline.New("test")
	wire(pipeline.From(g, "feed", pipeline.SourceFunc[I](func(ctx context.Context, emit pipeline.Emit[I]) error {
		for _, b := range bodies {
			// A parcel that can no longer be emitted is nacked, which verdicts shows.
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
