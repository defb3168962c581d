//go:build chaos && linux && amd64

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/chaos/check"
	"github.com/sluicemq/sluice/internal/chaos/scenario"
	"github.com/sluicemq/sluice/internal/chaos/traffic"
)

const (
	partitions = 6
	rate       = 100 // records a second for each
	calm       = 2 * time.Second
	readLimit  = 5 * time.Minute
)

// TestScenarios runs every scenario that the system can have, on one cluster for as long as none
// fails.
func TestScenarios(t *testing.T) {
	s, err := chosen()
	if err != nil {
		t.Fatal(err)
	}
	var l *lab
	for _, sc := range scenario.List {
		t.Run(sc.Name, func(t *testing.T) {
			if why := s.cannot(sc); why != "" {
				t.Skipf("NOT RUN on %s: %s", s.Name(), why)
			}
			if l == nil {
				if l, err = newLab(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			trial := &trial{t: t, lab: l, scenario: sc, faults: newFaults(l, sc.Faults)}
			if err := trial.run(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if t.Failed() && l != nil {
			_ = l.close() // it may have failed in any way
			l = nil
		}
	}
	if l != nil {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

// trial is a scenario on a cluster.
type trial struct {
	t        *testing.T
	lab      *lab
	scenario scenario.Scenario
	faults   *faults

	ledger  *check.Ledger
	outages *check.Outages
	volume  traffic.Config
	admin   *traffic.Admin // of the history's partition
}

func (r *trial) run(ctx context.Context) error {
	id := uint64(time.Now().UnixNano())
	name := strconv.FormatUint(id, 36)
	r.volume = traffic.Config{Addrs: r.lab.cluster.Addrs(), Topic: "volume-" + name, RecordBytes: 1024, Rate: rate, Window: rate, Patience: 2 * time.Second}
	one := r.volume
	one.Topic = "history-" + name
	r.ledger, r.outages = check.NewLedger(id, partitions), check.NewOutages(partitions, time.Now)
	volumeAdmin, err := traffic.Create(ctx, r.volume, partitions)
	if err != nil {
		return err
	}
	defer volumeAdmin.Close()
	if r.admin, err = traffic.Create(ctx, one, 1); err != nil {
		return err
	}
	defer r.admin.Close()
	load, err := traffic.Start(r.volume, r.ledger, r.outages)
	if err != nil {
		return err
	}
	some, err := startClients(one)
	if err != nil {
		return errors.Join(err, load.Stop(ctx))
	}
	err = r.fail(ctx)
	if err == nil {
		err = r.recovered(ctx, volumeAdmin)
	}
	within, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	return errors.Join(err, r.judge(within, load), some.judge(within))
}

// fail carries out the faults.
func (r *trial) fail(ctx context.Context) error {
	if err := r.flow(ctx, time.Minute); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	r.outages.Begin()
	begin := time.Now()
	for _, e := range r.scenario.Timeline() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(begin.Add(e.At))):
		}
		if e.Begin {
			r.look(ctx)
		}
		if err := r.faults.do(e); err != nil {
			return err
		}
	}
	return nil
}

// look finds the leader; if nobody knows, it is the last one that was known.
func (r *trial) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if states, err := r.admin.States(ctx); err == nil && states[0].Leader >= 0 {
		r.faults.leader = states[0].Leader
	}
}

// recovered waits until all is well, and checks how long writes had stopped.
func (r *trial) recovered(ctx context.Context, volume *traffic.Admin) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.lab.system.recover)
	defer cancel()
	err := errors.Join(volume.AwaitInSync(ctx), r.admin.AwaitInSync(ctx))
	if err == nil {
		err = r.flow(ctx, r.lab.system.recover)
	}
	for node := range r.lab.cluster.Size() {
		err = errors.Join(err, r.lab.cluster.Alive(node))
	}
	longest := slices.Max(r.outages.Longest())
	r.t.Logf("longest time without writes %s; all well %s after the faults", longest.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	if r.lab.net != nil {
		r.t.Logf("packets: %s", r.lab.net)
	}
	if limit := r.lab.system.without[r.scenario.Writes]; longest > limit {
		err = errors.Join(err, fmt.Errorf("a partition took no writes for %s, more than %s", longest, limit))
	}
	return err
}

// flow waits until every partition gets acknowledgements.
func (r *trial) flow(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !r.outages.Flowing(calm) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not every partition takes writes: longest times without are %v", r.outages.Longest())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// judge ends the load and compares the log.
func (r *trial) judge(ctx context.Context, load *traffic.Load) error {
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := load.Stop(within)
	if n, first := load.Failed(); n > 0 {
		r.t.Logf("clients gave up %d records, the first because: %v", n, first)
	}
	result, err2 := traffic.ReadBack(ctx, r.volume, r.ledger)
	r.t.Logf("%d acknowledged, %d in the log, %d of them unacknowledged, %d seen meanwhile", result.Acked, result.Records, result.Attempts, result.Seen)
	return errors.Join(err, err2, result.Err())
}
