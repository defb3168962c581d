package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// verdicts counts the calls of one receipt's done.
type verdicts struct {
	n   int
	err error
}

func (v *verdicts) receipt() *Receipt { return NewReceipt(func(err error) { v.n++; v.err = err }) }

func didPanic(fn func()) (did bool) {
	defer func() { did = recover() != nil }()
	fn()
	return false
}

func TestSplitSettlesAfterAllBranches(t *testing.T) {
	var v verdicts
	one, two := errors.New("one"), errors.New("two")
	rs := v.receipt().Split(4)
	rs[0].Settle(nil)
	rs[1].Settle(one)
	rs[2].Settle(two)
	if v.n != 0 {
		t.Fatal("settled before the last branch")
	}
	if !didPanic(func() { rs[0].Settle(nil) }) {
		t.Error("a branch settled for another")
	}
	rs[3].Settle(one)
	if v.n != 1 || !errors.Is(v.err, one) || !errors.Is(v.err, two) {
		t.Errorf("%d verdicts, %v", v.n, v.err)
	}
}

func TestSplitPassesASingleErrorUnchanged(t *testing.T) {
	var v verdicts
	one := errors.New("one")
	for _, r := range v.receipt().Split(2) {
		r.Settle(one)
	}
	if v.err != one {
		t.Errorf("got %v", v.err)
	}
}

func TestJoinSettlesAll(t *testing.T) {
	var a, b, joint verdicts
	boom := errors.New("boom")
	JoinFunc(func(err error) { joint.n++; joint.err = err }, a.receipt(), b.receipt()).Settle(boom)
	for _, v := range []verdicts{a, b, joint} {
		if v.n != 1 || v.err != boom {
			t.Errorf("%+v", v)
		}
	}
}

func TestJoinSettlesTheRestIfOneWasAlreadySettled(t *testing.T) {
	var a, b verdicts
	ra := a.receipt()
	j := Join(ra, b.receipt())
	ra.Settle(errors.New("first verdict"))
	if !didPanic(func() { j.Settle(nil) }) {
		t.Error("a double settle went unnoticed")
	}
	if a.n != 1 || a.err == nil || b.n != 1 || b.err != nil {
		t.Errorf("a %+v, b %+v", a, b)
	}
}

func TestDoubleSettleInAStageFailsTheGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		Into(From(g, "src", l.endless()), "twice", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			for p := range in.All(ctx) {
				p.Settle(nil)
				p.Settle(errors.New("second thoughts"))
			}
			return nil
		}))
		err := g.Run(t.Context(), time.Minute)
		var p *PanicError
		if !errors.As(err, &p) || len(p.Stack) == 0 {
			t.Errorf("got %v", err)
		}
		if acked, _ := l.check(t); acked != 1 {
			t.Errorf("acked %d, want the first verdict", acked)
		}
	})
}

func TestStageThatKeepsAParcelFailsTheGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		var kept *Receipt
		g := New("g")
		Into(From(g, "src", l.first(5)), "keeps", SinkFunc[int](func(ctx context.Context, in *In[int]) error {
			for p := range in.All(ctx) {
				if p.Body == 2 {
					kept = p.Receipt
					continue
				}
				p.Settle(nil)
			}
			return nil
		}))
		var at *StageError
		if err := g.Run(t.Context(), time.Minute); !errors.Is(err, ErrAbandoned) || !errors.As(err, &at) || at.Stage != "keeps" {
			t.Errorf("got %v", err)
		}
		if acked, nacked := l.check(t); acked != 4 || nacked != 1 {
			t.Errorf("acked %d, nacked %d", acked, nacked)
		}
		kept.Settle(nil) // too late, and harmless: already abandoned
		if !didPanic(func() { kept.Settle(nil) }) {
			t.Error("a second late verdict was accepted")
		}
	})
}

// A stage may wrap a receipt in one of its own, directly or after a Join. The
// drain must then wait for the wrapper rather than treat the wrapped one as
// abandoned.
func TestWrappedReceiptsOutliveTheirStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		wrap := StageFunc[int, int](func(ctx context.Context, in *In[int], out Emit[int]) error {
			var buf [3]Parcel[int]
			for {
				n, err := in.RecvBatch(ctx, buf[:])
				if err != nil {
					return ended(err)
				}
				rs := make([]*Receipt, n)
				for i := range rs {
					rs[i] = buf[i].Receipt
				}
				joined := Join(rs...)
				_ = out(ctx, Parcel[int]{buf[0].Body, 1, NewReceipt(func(err error) { joined.Settle(err) })})
			}
		})
		Into(Via(From(g, "src", l.first(12)), "wrap", wrap), "slow", ack(time.Hour), Depth(100))
		if err := g.Run(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
		if acked, _ := l.check(t); acked != 12 {
			t.Errorf("acked %d, want 12", acked)
		}
	})
}

func TestSplitReceiptIsHeldUntilEveryBranchLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		g := New("g")
		fan := StageFunc[int, int](func(ctx context.Context, in *In[int], out Emit[int]) error {
			p, _ := in.Recv(ctx)
			rs := p.Split(3)
			_ = out(ctx, Parcel[int]{1, 1, rs[0]})
			rs[1].Settle(nil)
			panic("lost the third")
		})
		Into(Via(From(g, "src", l.first(1)), "fan", fan), "sink", ack(0))
		var p *PanicError
		if err := g.Run(t.Context(), time.Minute); !errors.As(err, &p) || p.Value != "lost the third" {
			t.Errorf("got %v", err)
		}
		if acked, nacked := l.check(t); acked != 0 || nacked != 1 {
			t.Errorf("acked %d, nacked %d", acked, nacked)
		}
	})
}

func TestEmitWithoutReceiptPanics(t *testing.T) {
	_, out, closeIn := Pipe[int](1)
	defer closeIn()
	if !didPanic(func() { _ = out(t.Context(), Parcel[int]{Body: 1}) }) {
		t.Error("a parcel without a receipt was accepted")
	}
}
