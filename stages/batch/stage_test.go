package batch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/batch"
)

// rig runs a batch stage; the test receives and settles its groups by hand.
type rig struct {
	t        *testing.T
	stage    *batch.Stage
	receipts *pipelinetest.Receipts
	entry    *pipeline.Inlet[*flow.Write]
	groups   chan pipeline.Parcel[*flow.Group]
	stop     context.CancelFunc
	over     chan error
}

// log is a log whose appends are settled when their group is on disk.
type log struct {
	image  func(ctx context.Context, g *flow.Group) error // may be nil
	nacked []*flow.Group
}

func (l *log) Append(ctx context.Context, g *flow.Group) error {
	if l.image == nil {
		return nil
	}
	return l.image(ctx, g)
}

func (l *log) Nacked(g *flow.Group) { l.nacked = append(l.nacked, g) }

// acknowledge settles p and the appends in it.
func acknowledge(p pipeline.Parcel[*flow.Group]) {
	for _, w := range p.Body.Writes {
		for range w.Appends {
			w.Settled()
		}
	}
	p.Settle(nil)
}

// write returns a Write of one append.
func write(bytes int64) *flow.Write {
	return &flow.Write{Bytes: bytes, Appends: []*flow.Append{{Acks: flow.AcksAll}}}
}

func start(t *testing.T, cfg batch.Config) *rig {
	t.Helper()
	return startWith(t, cfg, &log{})
}

func startWith(t *testing.T, cfg batch.Config, log batch.Log) *rig {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, stage: batch.New(cfg, log), receipts: &pipelinetest.Receipts{}, entry: pipeline.NewInlet[*flow.Write](),
		groups: make(chan pipeline.Parcel[*flow.Group], 64), over: make(chan error, 1)}
	g := pipeline.New("test")
	out := pipeline.Via(pipeline.From(g, "in", r.entry), "batch", r.stage, pipeline.Depth(64))
	pipeline.Into(out, "out", pipeline.SinkFunc[*flow.Group](func(ctx context.Context, in *pipeline.In[*flow.Group]) error {
		for p := range in.All(ctx) {
			r.groups <- p
		}
		close(r.groups)
		return nil
	}))
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.over <- g.Run(ctx, time.Minute) }()
	synctest.Wait()
	return r
}

func (r *rig) write(bytes int64) {
	r.t.Helper()
	r.submit(write(bytes))
}

func (r *rig) submit(w *flow.Write) {
	r.t.Helper()
	if err := r.entry.Submit(context.Background(), pipeline.Parcel[*flow.Write]{
		Body: w, Size: w.Bytes, Receipt: r.receipts.Receipt()}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// next returns the group that has left the stage, or nil.
func (r *rig) next() *pipeline.Parcel[*flow.Group] {
	synctest.Wait()
	select {
	case p, ok := <-r.groups:
		if ok {
			return &p
		}
	default:
	}
	return nil
}

// want checks that a group with the given number of writes has left, and returns it.
func (r *rig) want(seq uint64, writes int) pipeline.Parcel[*flow.Group] {
	r.t.Helper()
	p := r.next()
	if p == nil {
		r.t.Fatalf("no group left, want one of %d writes", writes)
	}
	if p.Body.Seq != seq || len(p.Body.Writes) != writes {
		r.t.Fatalf("group %d of %d writes, want %d of %d", p.Body.Seq, len(p.Body.Writes), seq, writes)
	}
	return *p
}

func (r *rig) none() {
	r.t.Helper()
	if p := r.next(); p != nil {
		r.t.Fatalf("group %d of %d writes left, want none yet", p.Body.Seq, len(p.Body.Writes))
	}
}

func (r *rig) end() {
	r.t.Helper()
	r.stop()
	for p := range r.groups {
		acknowledge(p)
	}
	if err := <-r.over; err != nil {
		r.t.Fatal(err)
	}
	r.receipts.Check(r.t)
}

var limits = batch.Config{TargetBytes: 1000, MaxBytes: 2000, Linger: 10 * time.Millisecond, EagerGroups: 1}

func TestIdleBrokerAddsNoLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		began := time.Now()
		r.write(1)
		acknowledge(r.want(1, 1))
		r.write(1)
		acknowledge(r.want(2, 1))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %s", waited)
		}
		r.end()
	})
}

func TestFillsWhileAnotherIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		r.write(1)
		first := r.want(1, 1)
		r.write(300)
		r.write(300)
		r.none()
		acknowledge(first)
		second := r.want(2, 2) // the device is free
		r.write(600)
		r.none()
		r.write(600)
		acknowledge(r.want(3, 2)) // the target has been reached
		acknowledge(second)
		r.end()
	})
}

// As long as the log can write more at once, nothing waits for writes in
// progress.
func TestFewGroupsInFlightLetTheNextOneLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := limits
		limits.EagerGroups = 3
		r := start(t, limits)
		var out []pipeline.Parcel[*flow.Group]
		for seq := range uint64(3) {
			r.write(1)
			out = append(out, r.want(seq+1, 1))
		}
		r.write(1)
		r.write(1)
		r.none()
		acknowledge(out[1]) // in any order
		out = append(out, r.want(4, 2))
		if err := r.stage.Tune(map[string]int64{"eager_groups": 4}); err != nil {
			t.Fatal(err)
		}
		r.write(1)
		out = append(out, r.want(5, 1))
		for i, p := range out {
			if i != 1 {
				acknowledge(p)
			}
		}
		r.end()
	})
}

func TestLingerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		r.write(1)
		first := r.want(1, 1)
		r.write(5)
		time.Sleep(limits.Linger - time.Microsecond)
		r.none()
		time.Sleep(time.Microsecond)
		acknowledge(r.want(2, 1))
		acknowledge(first)
		r.end()
	})
}

func TestMaxBytesClosesAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		r.write(5000) // larger than the maximum: alone
		first := r.want(1, 1)
		for range 5 {
			r.write(999)
		}
		second := r.want(2, 2) // the target was reached with the second
		third := r.want(3, 2)
		r.none()
		for _, p := range []pipeline.Parcel[*flow.Group]{first, second, third} {
			acknowledge(p)
		}
		acknowledge(r.want(4, 1))
		r.end()
	})
}

func TestTune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		if err := r.stage.Tune(map[string]int64{"target_bytes": 10}); err != nil {
			t.Fatal(err)
		}
		r.write(1)
		first := r.want(1, 1)
		r.write(10)
		acknowledge(r.want(2, 1))
		acknowledge(first)
		for key, v := range map[string]int64{"max_bytes": 5, "target_bytes": 0, "linger_us": -1, "eager_groups": 0, "nope": 1} {
			if err := r.stage.Tune(map[string]int64{key: v}); err == nil {
				t.Errorf("%s=%d was accepted", key, v)
			}
		}
		if got := r.stage.Tunables()["target_bytes"]; got != 10 {
			t.Errorf("target is %d after refused changes", got)
		}
		r.end()
	})
}

// TestAcksDecideWhenAWriteIsSettled: with acks=0 as soon as its bytes are copied, otherwise with
// its appends, whatever becomes of the group.
func TestAcksDecideWhenAWriteIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		silent := write(1)
		silent.Appends[0].Acks = flow.AcksNone
		refused := write(1)
		refused.Appends[0].Err = errors.New("refused")
		for _, w := range []*flow.Write{silent, refused, write(1)} {
			r.submit(w)
		}
		groups := []pipeline.Parcel[*flow.Group]{r.want(1, 1)}
		if acked, err := r.receipts.Verdict(0); !acked || err != nil {
			t.Errorf("acks=0 is not settled while its group is on its way: %v", err)
		}
		groups[0].Settle(nil)
		last := r.want(2, 2)
		if acked, _ := r.receipts.Verdict(1); !acked {
			t.Error("a write with nothing in the log waits for it")
		}
		last.Settle(nil)
		if acked, _ := r.receipts.Verdict(2); acked {
			t.Error("acknowledged with its group")
		}
		last.Body.Writes[1].Settled()
		if acked, err := r.receipts.Verdict(2); !acked || err != nil {
			t.Errorf("not acknowledged with its append: %v", err)
		}
		r.end()
	})
}

func TestFailureOfAGroupReachesEachWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, limits)
		r.write(1)
		first := r.want(1, 1)
		r.write(1)
		r.write(1)
		acknowledge(first)
		r.want(2, 2).Settle(context.DeadlineExceeded)
		r.end()
		if made, acked, nacked := r.receipts.Counts(); made != 3 || acked != 1 || nacked != 2 {
			t.Errorf("%d made, %d acknowledged, %d failed", made, acked, nacked)
		}
	})
}

// TestImageLivesAsLongAsItsGroup: the image exists when the group leaves the
// stage, and is released when the group settles, either way.
func TestImageLivesAsLongAsItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := blockfs.NewPool(1 << 20)
		r := startWith(t, batch.DefaultConfig(), &log{image: func(ctx context.Context, g *flow.Group) (err error) {
			g.Image, err = pool.Get(ctx, int(g.Bytes))
			return err
		}})
		for _, verdict := range []error{nil, errors.New("nacked")} {
			r.write(100)
			p := r.next()
			if p == nil || p.Body.Image == nil || pool.Lent() == 0 {
				t.Fatalf("%d bytes are lent", pool.Lent())
			}
			p.Settle(verdict)
			if pool.Lent() != 0 {
				t.Errorf("%d bytes leaked", pool.Lent())
			}
		}
		r.stop()
		if err := <-r.over; err != nil {
			t.Error(err)
		}
	})
}

// The stage ends if an image cannot be built: offsets have been assigned, so nothing
// may be written after it.
func TestFailedImageEndsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no image")
		r := startWith(t, batch.DefaultConfig(), &log{image: func(context.Context, *flow.Group) error { return broken }})
		r.write(100)
		if err := <-r.over; !errors.Is(err, broken) {
			t.Error(err)
		}
		if settled, err := r.receipts.Verdict(0); !settled || !errors.Is(err, broken) {
			t.Errorf("settled: %t, %v", settled, err)
		}
	})
}

// A group of several writes never exceeds the memory limit of an image, whatever the
// maximum is or becomes at run time. A write that does not fit starts the next group.
func TestGroupsFitTheMemoryForImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := batch.Config{TargetBytes: 1 << 20, MaxBytes: 8 << 20, ImageBytes: 64 << 10, Linger: 10 * time.Millisecond, EagerGroups: 1}
		r := start(t, limits)
		r.write(1)
		out := []pipeline.Parcel[*flow.Group]{r.want(1, 1)}
		for range 5 {
			r.write(25 << 10)
		}
		out = append(out, r.want(2, 2), r.want(3, 2))
		if err := r.stage.Tune(map[string]int64{"max_bytes": 64 << 20}); err != nil {
			t.Fatal(err)
		}
		r.write(40 << 10)
		out = append(out, r.want(4, 1)) // alone, because the next one does not fit
		r.write(100 << 10)              // larger by itself
		time.Sleep(limits.Linger)
		out = append(out, r.want(5, 1), r.want(6, 1))
		for _, p := range out {
			acknowledge(p)
		}
		r.end()
	})
}

// A write held for the next group is nacked when the stage fails.
func TestWaitingWriteIsSettledWhenTheStageFails(t *testing.T) {
	broken := errors.New("no memory")
	stage := batch.New(batch.Config{TargetBytes: 1 << 20, MaxBytes: 8 << 20, ImageBytes: 64 << 10, EagerGroups: 1},
		&log{image: func(context.Context, *flow.Group) error { return broken }})
	_, verdicts, err := pipelinetest.Drive(t, stage, write(40<<10), write(40<<10), write(40<<10))
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	for i, v := range verdicts {
		if v == nil {
			t.Errorf("write %d was acknowledged", i)
		}
	}
}
