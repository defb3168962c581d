package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sluicemq/sluice/internal/chaos/check"
	"github.com/sluicemq/sluice/internal/chaos/cluster"
	"github.com/sluicemq/sluice/internal/chaos/traffic"
)

// Fault is how a node fails.
type Fault string

// The faults.
const (
	Kill Fault = "kill" // SIGKILL: the kernel closes the connections
	Stop Fault = "stop" // SIGSTOP: the node is silent, and returns as if nothing had happened
)

// Config of a measurement.
type Config struct {
	Fault      Fault
	Times      int
	Partitions int
	Load       traffic.Config // Addrs, Topic and Gate are filled in
	Settle     time.Duration  // how long to watch at least, after a fault and after a return
	Print      func(format string, args ...any)
}

const (
	flowing     = time.Second      // acknowledgements this far apart count as flowing
	outageLimit = 2 * time.Minute  // of one fault
	returnLimit = 5 * time.Minute  // until all replicas are in sync again
	finishLimit = 2 * time.Minute  // for records in flight at the end
	readLimit   = 10 * time.Minute // to read everything back
	pollEvery   = 10 * time.Millisecond
)

type run struct {
	Config
	cluster *cluster.Cluster
	ledger  *check.Ledger
	outages *check.Outages
	admin   *traffic.Admin
	load    *traffic.Load
	last    int // node that failed last
	report  Report
}

// Run measures a cluster that is up. The report is as complete as it can be if there is an
// error.
func Run(ctx context.Context, c *cluster.Cluster, cfg Config) (Report, error) {
	id := uint64(time.Now().UnixNano())
	cfg.Load.Addrs, cfg.Load.Gate, cfg.Load.Topic = c.Addrs(), traffic.NewGate(), "failover-"+strconv.FormatUint(id, 36)
	r := &run{Config: cfg, cluster: c, ledger: check.NewLedger(id, cfg.Partitions), last: -1,
		outages: check.NewOutages(cfg.Partitions, time.Now), report: Report{System: c.Name(), Fault: cfg.Fault}}
	var err error
	if r.admin, err = traffic.Create(ctx, cfg.Load, cfg.Partitions); err != nil {
		return r.report, err
	}
	defer r.admin.Close()
	if r.load, err = traffic.Start(cfg.Load, r.ledger, r.outages); err != nil {
		return r.report, err
	}
	if err = r.faults(ctx); err != nil {
		err = errors.Join(err, r.alive())
	}
	return r.report, errors.Join(err, r.finish(ctx))
}

// alive names nodes that are not running, which explains most failures.
func (r *run) alive() error {
	var errs []error
	for i := range r.cluster.Size() {
		errs = append(errs, r.cluster.Alive(i))
	}
	return errors.Join(errs...)
}

// faults lets nodes fail in turn.
func (r *run) faults(ctx context.Context) error {
	if err := r.settle(ctx, "the first acknowledgements"); err != nil {
		return err
	}
	for i := range r.Times {
		e, err := r.fault(ctx)
		if err != nil {
			return fmt.Errorf("fault %d of %d: %w", i+1, r.Times, err)
		}
		r.report.Events = append(r.report.Events, e)
		r.Print("  %s %d/%d: %s", r.Fault, i+1, r.Times, e)
	}
	return nil
}

func (r *run) fault(ctx context.Context) (Event, error) {
	states, err := r.admin.States(ctx)
	if err != nil {
		return Event{}, err
	}
	node := victim(states, r.cluster.Size(), r.last)
	r.last = node
	r.outages.Begin()
	if err := r.fail(node); err != nil {
		return Event{}, err
	}
	alone := r.cluster.Size() == 1
	if alone { // nobody else can take over
		err = r.bring(ctx, node)
	}
	err = errors.Join(err, r.settle(ctx, "acknowledgements without the node"))
	e := event(node, states, r.outages.Longest())
	if err != nil {
		return e, err
	}
	begin := time.Now()
	r.outages.Begin()
	if !alone {
		if err := r.bring(ctx, node); err != nil {
			return e, err
		}
	}
	within, cancel := context.WithTimeout(ctx, returnLimit)
	defer cancel()
	if err := r.admin.AwaitInSync(within); err != nil {
		return e, err
	}
	e.InSync = time.Since(begin)
	r.admin.Balance(ctx)
	err = r.settle(ctx, "acknowledgements after the return")
	e.Return = worst(r.outages.Longest())
	return e, err
}

func (r *run) fail(node int) error {
	if r.Fault == Stop {
		err := r.cluster.Stop(node)
		r.Load.Gate.Shut(r.Load.Addrs[node]) // clients do not wait for it, so that the servers are measured
		return err
	}
	return r.cluster.Kill(node)
}

// bring brings a node back.
func (r *run) bring(ctx context.Context, node int) error {
	if r.Fault == Stop {
		r.Load.Gate.Open(r.Load.Addrs[node])
		return r.cluster.Continue(node)
	}
	if err := r.cluster.Restart(node); err != nil {
		return err
	}
	return r.cluster.AwaitReady(ctx, node)
}

// settle waits until all partitions get acknowledgements, and for the settle time at least.
func (r *run) settle(ctx context.Context, what string) error {
	ctx, cancel := context.WithTimeout(ctx, outageLimit)
	defer cancel()
	begin, tick := time.Now(), time.NewTicker(pollEvery)
	defer tick.Stop()
	for !r.outages.Flowing(flowing) || time.Since(begin) < r.Settle {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; longest times without: %v", what, ctx.Err(), r.outages.Longest())
		case <-tick.C:
		}
	}
	return nil
}

// finish ends the load, reads everything back and compares.
func (r *run) finish(ctx context.Context) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishLimit)
	defer cancel()
	err := r.load.Stop(within)
	var first error
	r.report.Failed, first = r.load.Failed()
	if first != nil {
		r.report.FirstError = first.Error()
	}
	r.report.Sent, _ = r.ledger.Counts()
	if ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	within, cancel2 := context.WithTimeout(ctx, readLimit)
	defer cancel2()
	result, err2 := traffic.ReadBack(within, r.Load, r.ledger)
	r.report.Log = result
	r.report.compute()
	return errors.Join(err, err2, result.Err())
}
