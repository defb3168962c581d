package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/bench/workloads"
)

// How long a run waits for what should end by itself.
const (
	flushLimit   = 2 * time.Minute
	backlogLimit = 5 * time.Minute
	quietLimit   = 10 * time.Second // consumers that receive nothing for this long are done
	sampleEvery  = 250 * time.Millisecond
)

// run is one workload on one system.
type run struct {
	w       workloads.Workload
	driver  Driver
	history Driver // for the backlog
	server  Server
	meter   *meter
	numbers atomic.Int64
	fill    []byte

	producers []Producer
	sources   []*source
	consumers []Consumer
	tallies   []*tally // by group

	base       int64 // acknowledged before the load
	begin, end mark  // of the measured time
	timeline   []Sample
	catchUp    *catchUp
}

// Run measures w. server may be nil if the process is not accessible. elsewhere is the driver
// for the backlog if w has it on another server, and unused otherwise.
func Run(ctx context.Context, w workloads.Workload, d, elsewhere Driver, server Server) (Outcome, error) {
	if w.Kind == workloads.KindIdle {
		return idle(ctx, w, server)
	}
	r := &run{w: w, driver: d, history: d, server: server, meter: newMeter(), fill: newFill()}
	if w.BacklogElsewhere {
		if elsewhere == nil {
			return Outcome{}, fmt.Errorf("%s: its backlog needs a second server", w.Name)
		}
		r.history = elsewhere
	}
	defer r.close()
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"prepare", r.prepare},
		{"produce the backlog", r.backlog},
		{"produce at full speed before the load", r.burst},
		{"connect producers", r.connect},
		{"connect consumers", r.subscribe},
		{"produce", r.load},
		{"consume", r.drain},
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return Outcome{}, fmt.Errorf("%s: %s: %w", w.Name, s.what, err)
		}
	}
	r.closeConsumers()
	return r.outcome()
}

func (r *run) close() {
	r.closeConsumers()
	r.closeProducers()
}

func (r *run) closeProducers() {
	for _, p := range r.producers {
		p.Close()
	}
	r.producers, r.sources = nil, nil
}

// closeConsumers returns once nothing is received any more.
func (r *run) closeConsumers() {
	if r.catchUp != nil {
		r.catchUp.close()
	}
	for _, c := range r.consumers {
		c.Close()
	}
	r.consumers = nil
}

func (r *run) prepare(ctx context.Context) error {
	if r.history != r.driver {
		if err := r.history.Prepare(ctx, r.w); err != nil {
			return err
		}
	}
	return r.driver.Prepare(ctx, r.w)
}

func (r *run) connect(ctx context.Context) error { return r.connectTo(ctx, r.driver) }

func (r *run) connectTo(ctx context.Context, d Driver) error {
	for id := range r.w.Producers {
		p, err := d.NewProducer(ctx, r.meter.ackedBy())
		if err != nil {
			return err
		}
		r.producers = append(r.producers, p)
		r.sources = append(r.sources, &source{id: id, w: r.w, meter: r.meter, numbers: &r.numbers, fill: r.fill})
	}
	return nil
}

// backlog produces the backlog before the load starts.
func (r *run) backlog(ctx context.Context) error {
	if r.w.BacklogRecords == 0 {
		return nil
	}
	return r.before(ctx, r.history, r.w.BacklogRecords, backlogLimit)
}

// burst runs at full speed just before the load starts.
func (r *run) burst(ctx context.Context) error {
	if r.w.BurstS == 0 {
		return nil
	}
	return r.before(ctx, r.driver, 0, r.w.Burst())
}

// before produces at full speed, until the records are sent or the time is up, and waits until
// everything is acknowledged.
func (r *run) before(ctx context.Context, d Driver, records int64, until time.Duration) error {
	if err := r.connectTo(ctx, d); err != nil {
		return err
	}
	if err := r.produce(ctx, records, until, 0); err != nil {
		return err
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if failed := r.meter.failed.Load(); failed > 0 {
		return fmt.Errorf("%d records failed: %w", failed, r.meter.failure)
	}
	r.closeProducers()
	return nil
}

// subscribe starts the groups at the end of the log, and the catching-up consumer at the start.
func (r *run) subscribe(ctx context.Context) error {
	for range r.w.Groups {
		t := &tally{}
		r.tallies = append(r.tallies, t)
		for share := range r.w.Consumers {
			c, err := r.driver.NewConsumer(ctx, FromEnd, share, r.w.Consumers, r.meter.gotBy(t))
			if err != nil {
				return err
			}
			r.consumers = append(r.consumers, c)
		}
	}
	return nil
}

// produce lets all producers send for a time, or until the records are sent.
func (r *run) produce(ctx context.Context, records int64, until time.Duration, rate float64) error {
	limit := never
	if records > 0 {
		limit = r.numbers.Load() + records
	}
	errs := make([]error, len(r.producers))
	var wg sync.WaitGroup
	for i, p := range r.producers {
		r.sources[i].limit = limit
		wg.Go(func() { errs[i] = r.sources[i].run(ctx, p, until, rate) })
	}
	wg.Wait()
	r.numbers.Store(min(limit, r.numbers.Load()))
	return errors.Join(append(errs, ctx.Err())...)
}

// flush waits until everything sent is acknowledged.
func (r *run) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	for _, p := range r.producers {
		if err := p.Flush(ctx); err != nil {
			return fmt.Errorf("records were not acknowledged within %s: %w", flushLimit, err)
		}
	}
	return nil
}
