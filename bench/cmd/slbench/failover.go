package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
