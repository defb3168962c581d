package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicemq/sluice/bench/echo"
	"github.com/sluicemq/sluice/bench/jetstream"
	"github.com/sluicemq/sluice/bench/kafka"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/report"
	"github.com/sluicemq/sluice/bench/workloads"
)

// measure runs a workload on a fresh system: a new process on an empty directory.
func (s *suite) measure(ctx context.Context, w workloads.Workload, system string, round int) error {
	dir, err := os.MkdirTemp(s.data, system+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	run := report.Run{Workload: w.Name, System: system, Round: round}
	switch transport, ours := strings.CutPrefix(system, "sluice-"); {
	case ours:
		var requests kafka.Requests
		run.Outcome, requests, err = s.onSluice(ctx, w, transport, dir)
		run.RequestBytes = requests.Mean()
		if transport == "quic" && requests.Count > 0 {
			values := float64(run.TotalAcked) * float64(w.RecordBytes)
			s.frames[w.Name] = frame{bytes: requests.Mean(), share: values / float64(requests.Bytes)}
		}
	case system == kafkaTCP || system == kafkaTLS:
		run.Outcome, run.RequestBytes, err = s.onKafka(ctx, w, system, dir)
	case system == "jetstream" || system == "jetstream-sync":
		run.Outcome, err = s.onJetStream(ctx, w, system == "jetstream-sync", dir)
	default:
		run.Outcome, run.RequestBytes, err = s.onEcho(ctx, w, system, dir)
	}
	if err != nil {
		return err
	}
	s.report.Runs = append(s.report.Runs, run)
	s.print("  %-15s %s", system, line(w, run.Outcome))
	return nil
}

func (s *suite) onSluice(ctx context.Context, w workloads.Workload, transport, dir string) (load.Outcome, kafka.Requests, error) {
	p, d, err := s.startSluice(ctx, transport, dir)
	if err != nil {
		return load.Outcome{}, kafka.Requests{}, err
	}
	if !w.BacklogElsewhere {
		o, err := load.Run(ctx, w, d, nil, p)
		return o, d.Requests(), stop(ctx, err, d, p.Process)
	}
	other, e, err := s.startSluice(ctx, transport, filepath.Join(dir, "elsewhere"))
	if err != nil {
		return load.Outcome{}, kafka.Requests{}, stop(ctx, err, d, p.Process)
	}
	o, err := load.Run(ctx, w, d, e, p)
	return o, d.Requests(), stop(ctx, stop(ctx, err, e, other.Process), d, p.Process)
}

// startSluice starts a node on a new directory and returns a driver for it.
func (s *suite) startSluice(ctx context.Context, transport, dir string) (*process.Sluice, *kafka.Driver, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	p, err := process.StartSluice(ctx, s.sluice, dir)
	if err != nil {
		return nil, nil, err
	}
	return p, kafka.New(kafka.Config{Addr: p.Addr, Transport: transport, CAFile: p.CAFile}), nil
}

func (s *suite) onJetStream(ctx context.Context, w workloads.Workload, sync bool, dir string) (load.Outcome, error) {
	if w.BacklogElsewhere {
		return load.Outcome{}, errors.New("a backlog elsewhere is measured on Sluice only")
	}
	p, err := process.StartJetStream(ctx, s.nats, dir, sync)
	if err != nil {
		return load.Outcome{}, err
	}
	d := jetstream.New(p.Addr)
	o, err := load.Run(ctx, w, d, nil, p)
	return o, stop(ctx, err, d, p.Process)
}

// stop stops a driver and its server. If the run failed because the server died, the error says
// so.
func stop(ctx context.Context, err error, d load.Driver, p *process.Process) error {
	if alive := p.Alive(); alive != nil {
		return errors.Join(alive, err)
	}
	return errors.Join(err, d.Close(context.WithoutCancel(ctx)), p.Stop())
}

// echoWindow is the frames in flight per stream: as many as a Kafka client's produce requests
// in flight to a broker.
const echoWindow = 5

func (s *suite) onEcho(ctx context.Context, w workloads.Workload, system, dir string) (load.Outcome, int, error) {
	frame := s.frames[w.Name]
	if frame.bytes == 0 {
		return load.Outcome{}, 0, fmt.Errorf("the echo repeats the bytes of sluice-quic, which has not run on %s", w.Name)
	}
	p, err := process.StartEcho(ctx, s.self, dir)
	if err != nil {
		return load.Outcome{}, 0, err
	}
	mode := echo.Ack
	if system == "echo-full" {
		mode = echo.Full
	}
	o, err := echo.Run(ctx, echo.Config{Addr: p.Addr, CAFile: p.CAFile, Mode: mode, FrameBytes: frame.bytes,
		Streams: w.Producers, Window: echoWindow, Warmup: w.Warmup(), Duration: w.Duration(),
		RecordBytes: w.RecordBytes, Share: frame.share}, p)
	return o, frame.bytes, errors.Join(err, p.Stop())
}
