package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/workloads"
)

// mark is a reading of all counters.
type mark struct {
	at              time.Time
	acked, consumed int64
	server, client  float64 // CPU seconds
}

func (r *run) mark() (mark, error) {
	m := mark{at: time.Now(), acked: r.meter.acked.Load(), consumed: r.meter.consumed.Load(), client: process.OwnCPU()}
	var err error
	if r.server != nil {
		m.server, err = r.server.CPU()
	}
	return m, err
}

// load runs the warm-up and the measurement.
func (r *run) load(ctx context.Context) error {
	r.base = r.meter.acked.Load()
	stop := r.watch(ctx)
	defer stop()
	if r.w.WarmupS > 0 {
		if err := r.produce(ctx, 0, r.w.Warmup(), r.w.Rate); err != nil {
			return err
		}
	}
	if err := r.startCatchUp(ctx); err != nil {
		return err
	}
	var err error
	if r.begin, err = r.mark(); err != nil {
		return err
	}
	r.meter.from.Store(r.meter.now())
	until := r.w.Duration()
	if until == 0 {
		until = backlogLimit
	}
	if err := r.produce(ctx, r.w.Records, until, r.w.Rate); err != nil {
		return err
	}
	r.meter.to.Store(r.meter.now())
	if r.w.Records == 0 {
		if r.end, err = r.mark(); err != nil {
			return err
		}
		return r.flush(ctx)
	}
	if err := r.flush(ctx); err != nil { // with a fixed number all records count
		return err
	}
	r.end, err = r.mark()
	return err
}

// watch samples the counters until stop is called.
func (r *run) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		start, last := time.Now(), time.Now()
		acked, consumed := r.meter.acked.Load(), r.meter.consumed.Load()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				a, c := r.meter.acked.Load(), r.meter.consumed.Load()
				s := now.Sub(last).Seconds()
				sample := Sample{At: now.Sub(start).Seconds(), RecordsPerS: float64(a-acked) / s, ConsumedPerS: float64(c-consumed) / s}
				if r.server != nil {
					sample.RSS, _ = r.server.RSS() // leaves a gap in the plot
				}
				r.timeline = append(r.timeline, sample)
				last, acked, consumed = now, a, c
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// drain waits until the groups have received everything acknowledged, or nothing more arrives.
func (r *run) drain(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last, seen := time.Now(), int64(-1)
	for {
		if r.drained() {
			return nil
		}
		if now := r.meter.consumed.Load() + r.meter.backlog.Load(); now != seen {
			last, seen = time.Now(), now
		}
		if time.Since(last) > quietLimit {
			return nil // the outcome reports what is missing
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *run) drained() bool {
	if r.catchUp != nil && !r.catchUp.over() {
		return false
	}
	want := r.meter.acked.Load() - r.base
	for _, t := range r.tallies {
		if once, _ := t.counts(); once < want {
			return false
		}
	}
	return true
}

func (r *run) outcome() (Outcome, error) {
	s := r.end.at.Sub(r.begin.at).Seconds()
	o := Outcome{Seconds: s, Acked: r.end.acked - r.begin.acked, TotalAcked: r.meter.acked.Load(), Failed: r.meter.failed.Load(),
		Produce: Summarize(r.meter.produce), EndToEnd: Summarize(r.meter.endToEnd), Timeline: r.timeline,
		ServerCPU: r.end.server - r.begin.server}
	for _, src := range r.sources {
		o.Unsent += src.unsent
	}
	bytes := float64(o.Acked) * float64(r.w.RecordBytes)
	o.RecordsPerS, o.MBPerS = float64(o.Acked)/s, bytes/s/1e6
	o.ConsumedPerS = float64(r.end.consumed-r.begin.consumed) / s
	o.ServerCores = o.ServerCPU / s
	if bytes > 0 {
		o.ServerCPUPerGB = o.ServerCPU / (bytes / 1e9)
		o.ClientCPUPerGB = (r.end.client - r.begin.client) / (bytes / 1e9)
	}
	if r.meter.failure != nil {
		o.FirstError = r.meter.failure.Error()
	}
	for _, t := range r.tallies {
		once, twice := t.counts()
		o.Missing += max(0, o.TotalAcked-r.base-once)
		o.Twice += twice
	}
	if r.catchUp != nil {
		var missing int64
		o.BacklogMBPerS, missing = r.catchUp.result(r.w)
		o.Missing += missing
	}
	return o, o.memory(r.server)
}

// memory records the server's memory usage.
func (o *Outcome) memory(s Server) error {
	if s == nil {
		return nil
	}
	for _, t := range o.Timeline {
		o.MaxRSS = max(o.MaxRSS, t.RSS)
	}
	var err error
	o.PeakRSS, err = s.PeakRSS()
	return err
}

// idle observes a server without load.
func idle(ctx context.Context, w workloads.Workload, server Server) (Outcome, error) {
	if server == nil {
		return Outcome{}, fmt.Errorf("%s: the server's process must be known; give -pid", w.Name)
	}
	r := &run{w: w, server: server, meter: newMeter()}
	if err := sleep(ctx, w.Warmup()); err != nil {
		return Outcome{}, err
	}
	var err error
	if r.begin, err = r.mark(); err != nil {
		return Outcome{}, err
	}
	stop := r.watch(ctx)
	err = sleep(ctx, w.Duration())
	stop()
	if err != nil {
		return Outcome{}, err
	}
	if r.end, err = r.mark(); err != nil {
		return Outcome{}, err
	}
	return r.outcome()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
