package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicemq/sluice/bench/kafka"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/workloads"
)

// Apache Kafka, in plaintext and with TLS.
const kafkaTCP, kafkaTLS = "kafka-tcp", "kafka-tls"

// jvmWarmupS is how many seconds Kafka is warmed up beyond a workload's warm-up, since its JVM
// compiles hot code while it runs.
const jvmWarmupS = 8

// findKafka locates Kafka if a workload needs it and returns its version. If it is missing, it
// is left out with a message, unless it was requested by name.
func (s *suite) findKafka() (version string, err error) {
	if !s.needs(kafkaTCP, kafkaTLS) {
		return "", nil
	}
	if s.java, version, err = process.FindKafka(s.jars); err == nil {
		return version, nil
	}
	if slices.Contains(s.systems, kafkaTCP) || slices.Contains(s.systems, kafkaTLS) {
		return "", fmt.Errorf("measure Apache Kafka: %w", err)
	}
	s.print("NOT RUN: Apache Kafka, %v", err)
	for i := range s.report.Workloads {
		w := &s.report.Workloads[i]
		w.Systems = slices.DeleteFunc(w.Systems, func(x string) bool { return x == kafkaTCP || x == kafkaTLS })
	}
	return "", nil
}

func (s *suite) onKafka(ctx context.Context, w workloads.Workload, system, dir string) (load.Outcome, int, error) {
	p, err := process.StartKafka(ctx, s.java, s.jars, dir)
	if err != nil {
		return load.Outcome{}, 0, err
	}
	if !s.short {
		w.WarmupS += jvmWarmupS
	}
	cfg := kafka.Config{Addr: p.Addr, Transport: strings.TrimPrefix(system, "kafka-"), CAFile: p.CAFile}
	if system == kafkaTLS {
		cfg.Addr = p.TLSAddr
	}
	d := kafka.New(cfg)
	o, err := load.Run(ctx, w, d, nil, p)
	return o, d.Requests().Mean(), stop(ctx, err, d, p.Process)
}
