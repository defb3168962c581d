package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicemq/sluice/bench/failover"
	"github.com/sluicemq/sluice/internal/chaos/cluster"
	"github.com/sluicemq/sluice/internal/chaos/traffic"
)

// failoverCommand lets the nodes of clusters fail under load.
func failoverCommand(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("failover", flag.ContinueOnError)
	c := clusterFlags(f)
	fault := f.String("fault", "kill", "kill (SIGKILL) or stop (SIGSTOP)")
	times := f.Int("times", 50, "how often a node fails")
	partitions := f.Int("partitions", 12, "partitions")
	rate := f.Float64("rate", 200, "records a second for each partition")
	size := f.Int("record-bytes", 1024, "size of a record")
	patience := f.Duration("patience", time.Second, "how long clients wait for an answer")
	settle := f.Duration("settle", 3*time.Second, "how long to watch at least after each fault")
	asJSON := f.Bool("json", false, "print the reports as JSON too")
	if err := parse(f, args); err != nil {
		return err
	}
	if kind := failover.Fault(*fault); kind != failover.Kill && kind != failover.Stop || *times < 1 || *partitions < 1 {
		return fmt.Errorf("%w: -fault is kill or stop, -times and -partitions are 1 or more", errUsage)
	}
	print := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	return c.each(ctx, func(ctx context.Context, running *cluster.Cluster) error {
		r, err := failover.Run(ctx, running, failover.Config{Fault: failover.Fault(*fault), Times: *times, Partitions: *partitions,
			Load:   traffic.Config{RecordBytes: *size, Rate: *rate, Window: max(1, int64(*rate)), Patience: *patience},
			Settle: *settle, Print: print})
		for _, l := range r.Lines() {
			print("%s", l)
		}
		if *asJSON {
			err = errors.Join(err, json.NewEncoder(out).Encode(r))
		}
		return err
	})
}

// clusters are the systems that a command starts in turn, each in a new directory.
type clusters struct {
	sluice, jars, systems, dir string
	nodes                      int
}

func clusterFlags(f *flag.FlagSet) *clusters {
	c := &clusters{}
	f.StringVar(&c.sluice, "sluice", "../bin/sluice", "binary of Sluice")
	f.StringVar(&c.jars, "kafka", "../bin/oracle", "folder with the jars of Apache Kafka")
	f.StringVar(&c.systems, "systems", "kafka,sluice", "systems, with commas")
	f.IntVar(&c.nodes, "nodes", 3, "nodes of a cluster")
	f.StringVar(&c.dir, "dir", os.TempDir(), "directory for the nodes' data")
	return c
}

// each runs a measurement on each system.
func (c *clusters) each(ctx context.Context, measure func(context.Context, *cluster.Cluster) error) error {
	for _, name := range split(c.systems) {
		if err := c.on(ctx, name, measure); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (c *clusters) on(ctx context.Context, name string, measure func(context.Context, *cluster.Cluster) error) error {
	system, err := c.system(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.dir, "slbench-"+name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	running, err := cluster.Start(ctx, system, dir, cluster.OnLoopback(c.nodes))
	if err != nil {
		return err
	}
	err = measure(ctx, running)
	return errors.Join(err, running.Close())
}

func (c *clusters) system(name string) (cluster.System, error) {
	switch name {
	case "kafka":
		k, _, err := cluster.FindKafka(c.jars)
		return k, err
	case "sluice":
		if _, err := os.Stat(c.sluice); err != nil {
			return nil, fmt.Errorf("the binary of Sluice is not there (%w); run make build, or give -sluice", err)
		}
		return cluster.Sluice{Binary: c.sluice}, nil
	}
	return nil, fmt.Errorf("%w: system %q is not known; use kafka or sluice", errUsage, name)
}
