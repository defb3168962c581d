package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/sluicemq/sluice/bench/kafka"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
	"github.com/sluicemq/sluice/internal/chaos/cluster"
)

// clusterRun is one system in one round: as fast as it goes, then at half of the peak of the
// first system of the round.
type clusterRun struct {
	System      string       `json:"system"`
	Round       int          `json:"round"`
	Peak        load.Outcome `json:"peak"`
	Half        load.Outcome `json:"half"`
	DiskMBPerS  float64      `json:"disk_mb_per_s"` // all nodes, at the peak
	DiskPerByte float64      `json:"disk_per_byte"` // bytes sent to disks for each byte of acknowledged values
}

// clusterCommand measures replicated writes. A system's figures at half load are at half of the
// peak of the first one, so that latencies are compared at the same rate.
func clusterCommand(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("cluster", flag.ContinueOnError)
	c := clusterFlags(f)
	rounds := f.Int("rounds", 3, "rounds")
	partitions := f.Int("partitions", 12, "partitions")
	duration := f.Float64("duration", 0, "seconds to measure, instead of the workload's")
	asJSON := f.Bool("json", false, "print the outcomes as JSON too")
	if err := parse(f, args); err != nil {
		return err
	}
	if *rounds < 1 || *partitions < 1 {
		return fmt.Errorf("%w: -rounds and -partitions must be 1 or more", errUsage)
	}
	w, err := workloads.Load("1KiB-8p")
	if err != nil {
		return err
	}
	w.Name, w.Partitions = fmt.Sprintf("1KiB-%dp-rf%d", *partitions, c.nodes), *partitions
	if *duration > 0 {
		w.DurationS = *duration
	}
	var runs []clusterRun
	for round := range *rounds {
		rate := 0.0
		err := c.each(ctx, func(ctx context.Context, running *cluster.Cluster) error {
			r, err := measureCluster(ctx, running, w, rate)
			if err != nil {
				return err
			}
			if r.Round = round + 1; rate == 0 {
				rate = r.Peak.RecordsPerS / 2
			}
			runs = append(runs, r)
			_, err = fmt.Fprintf(out, "round %d, %s\n  peak  %s  disks %.0f MB/s, %.2f bytes for each\n  half  %s\n",
				r.Round, r.System, line(w, r.Peak), r.DiskMBPerS, r.DiskPerByte, line(w, r.Half))
			return err
		})
		if err != nil {
			return err
		}
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(runs)
	}
	return nil
}

// measureCluster runs w as fast as it goes, then at a rate, or half of what was reached.
func measureCluster(ctx context.Context, c *cluster.Cluster, w workloads.Workload, rate float64) (clusterRun, error) {
	r := clusterRun{System: c.Name()}
	if r.System == "kafka" {
		w.WarmupS += jvmWarmupS
	}
	before := c.Usage()
	var err error
	if r.Peak, err = loadCluster(ctx, c, w); err != nil {
		return r, err
	}
	values := float64(r.Peak.TotalAcked) * float64(w.RecordBytes)
	r.DiskPerByte = float64(c.Usage().Written-before.Written) / max(1, values)
	r.DiskMBPerS = r.DiskPerByte * r.Peak.MBPerS
	if w.Rate = rate; rate == 0 {
		w.Rate = r.Peak.RecordsPerS / 2
	}
	r.Half, err = loadCluster(ctx, c, w)
	return r, err
}

// loadCluster runs a workload on a new topic. Records that are lost or refused are an error.
func loadCluster(ctx context.Context, c *cluster.Cluster, w workloads.Workload) (load.Outcome, error) {
	d := kafka.New(kafka.Config{Addr: strings.Join(c.Addrs(), ","), Transport: "tcp", Replicas: c.Size()})
	o, err := load.Run(ctx, w, d, nil, nodes{c})
	for i := range c.Size() {
		err = errors.Join(err, c.Alive(i))
	}
	if err = errors.Join(err, d.Close(context.WithoutCancel(ctx))); err != nil {
		return o, err
	}
	if o.Failed+o.Missing > 0 || o.TotalAcked == 0 {
		return o, fmt.Errorf("%d records acknowledged, %d failed and %d acknowledged ones were not delivered (%s)", o.TotalAcked, o.Failed, o.Missing, o.FirstError)
	}
	return o, nil
}

// nodes is the load.Server that all nodes of a cluster are together.
type nodes struct{ cluster *cluster.Cluster }

func (n nodes) CPU() (float64, error)   { return n.cluster.Usage().CPU, nil }
func (n nodes) RSS() (int64, error)     { return n.cluster.Usage().Resident, nil }
func (n nodes) PeakRSS() (int64, error) { return n.cluster.Usage().PeakResident, nil }
