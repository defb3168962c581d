package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/sluicemq/sluice/bench/echo"
	"github.com/sluicemq/sluice/bench/jetstream"
	"github.com/sluicemq/sluice/bench/kafka"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/workloads"
)

// runCommand measures a running server.
func runCommand(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	name := f.String("workload", "1KiB-8p", "a shipped workload, or a file")
	driver := f.String("driver", "kafka", "kafka or jetstream")
	addr := f.String("addr", "127.0.0.1:9092", "the server")
	transport := f.String("transport", "quic", "of driver kafka: quic, tls or tcp")
	ca := f.String("ca", "", "CA file of the server")
	pid := f.Int("pid", 0, "the server's process, to measure its CPU and memory")
	asJSON := f.Bool("json", false, "print the whole outcome as JSON")
	duration := f.Float64("duration", 0, "seconds to measure, instead of the workload's")
	if err := parse(f, args); err != nil {
		return err
	}
	w, err := workloads.Load(*name)
	if err != nil {
		return err
	}
	if *duration > 0 {
		w.DurationS = *duration
	}
	var d load.Driver
	switch *driver {
	case "kafka":
		d = kafka.New(kafka.Config{Addr: *addr, Transport: *transport, CAFile: *ca})
	case "jetstream":
		d = jetstream.New(*addr)
	default:
		return fmt.Errorf("%w: driver %q is not known; use kafka or jetstream", errUsage, *driver)
	}
	var server load.Server
	if *pid > 0 {
		server = process.Proc(*pid)
	}
	o, err := load.Run(ctx, w, d, nil, server)
	if err = errors.Join(err, d.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(o)
	}
	_, err = fmt.Fprintln(out, line(w, o))
	return err
}

// line summarizes an outcome for people.
func line(w workloads.Workload, o load.Outcome) string {
	if w.Kind == workloads.KindIdle {
		return fmt.Sprintf("%.1f MB resident, %.2f %% of a core", float64(o.MaxRSS)/1e6, o.ServerCores*100)
	}
	s := fmt.Sprintf("%8.0f rec/s %7.1f MB/s  produce p50 %.2f p99 %.2f p99.9 %.2f ms", o.RecordsPerS, o.MBPerS,
		o.Produce.P50, o.Produce.P99, o.Produce.P999)
	if o.EndToEnd.Count > 0 {
		s += fmt.Sprintf("  end to end p50 %.2f p99 %.2f p99.9 %.2f ms", o.EndToEnd.P50, o.EndToEnd.P99, o.EndToEnd.P999)
	}
	if o.PeakRSS > 0 {
		s += fmt.Sprintf("  cpu %.2f s/GB (client %.2f)  peak %.0f MB", o.ServerCPUPerGB, o.ClientCPUPerGB, float64(o.PeakRSS)/1e6)
	}
	if o.BacklogMBPerS > 0 {
		s += fmt.Sprintf("  backlog %.0f MB/s", o.BacklogMBPerS)
	}
	if o.Failed+o.Missing+o.Twice+o.Unsent > 0 {
		s += fmt.Sprintf("  FAILED %d MISSING %d TWICE %d UNSENT %d %s", o.Failed, o.Missing, o.Twice, o.Unsent, o.FirstError)
	}
	return s
}

func listCommand(_ context.Context, args []string, out io.Writer) error {
	if err := parse(flag.NewFlagSet("list", flag.ContinueOnError), args); err != nil {
		return err
	}
	for _, name := range workloads.Names() {
		w, err := workloads.Load(name)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%-18s %s\n", w.Name, w.About); err != nil {
			return err
		}
	}
	return nil
}

// echoServer is the server side of package echo, started by the suite.
func echoServer(ctx context.Context, args []string, _ io.Writer) error {
	f := flag.NewFlagSet("echo-server", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:0", "UDP address")
	health := f.String("health", "127.0.0.1:0", "HTTP address that answers once frames are")
	dir := f.String("dir", "", "where certificates are made")
	if err := parse(f, args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *health)
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-ready:
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	over := make(chan error, 1)
	go func() { over <- s.Serve(l) }()
	err = echo.Serve(ctx, *listen, *dir, func() { close(ready) })
	_ = s.Close() // ends Serve
	<-over
	return err
}
