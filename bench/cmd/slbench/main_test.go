package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/report"
	"github.com/sluicemq/sluice/bench/workloads"
)

// jars of Apache Kafka exist after make bench-jars or make oracle.
const jars = "../../../bin/oracle"

// TestSmoke runs the short suite with the real binaries, each a separate process: every system
// responds, nothing acknowledged is missing, and the report exists. Figures are not checked,
// since the machine may be busy.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	slbench, sluice := filepath.Join(dir, "slbench"), filepath.Join(dir, "sluice")
	build(t, ".", slbench, ".")
	build(t, "../../..", sluice, "./cmd/sluice")
	begin := time.Now()
	out, err := exec.CommandContext(t.Context(), slbench, "suite", "-short", "-sluice", sluice, "-kafka", jars, "-out", filepath.Join(dir, "out")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%.0f s\n%s", time.Since(begin).Seconds(), out)
	b, err := os.ReadFile(filepath.Join(dir, "out", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s report.Suite
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	var ran []string
	for _, r := range s.Runs {
		ran = append(ran, r.Workload+" "+r.System)
	}
	wants := []string{"1KiB-8p sluice-tcp", "1KiB-8p sluice-quic", "1KiB-8p jetstream", "1KiB-8p echo-ack", "1KiB-8p echo-full",
		"half-load sluice-tcp", "half-load sluice-quic", "half-load jetstream", "idle sluice-tcp", "idle jetstream"}
	if _, _, err := process.FindKafka(jars); err == nil {
		wants = append(wants, "1KiB-8p kafka-tcp", "1KiB-8p kafka-tls")
	} else if !bytes.Contains(out, []byte("NOT RUN: Apache Kafka")) {
		t.Errorf("Kafka was left out (%v), and nothing said so", err)
	}
	for _, want := range wants {
		if !slices.Contains(ran, want) {
			t.Errorf("%s did not run", want)
		}
	}
	if s.Budgets == 0 || s.Host.Sluice == "" || s.Host.NATS == "" || len(s.Ratios) == 0 {
		t.Errorf("budgets %d, versions %q and %q, %d ratios", s.Budgets, s.Host.Sluice, s.Host.NATS, len(s.Ratios))
	}
	left, err := filepath.Glob(filepath.Join(dir, "out", "data-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func build(t *testing.T, module, out, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Dir = module
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, b)
	}
}

func TestOrder(t *testing.T) {
	systems := []string{"sluice-tcp", "sluice-quic", "jetstream", "echo"}
	for round, want := range []string{
		"sluice-tcp sluice-quic echo-ack echo-full jetstream",
		"sluice-quic echo-ack echo-full jetstream sluice-tcp",
		"jetstream sluice-tcp sluice-quic echo-ack echo-full",
		"sluice-tcp sluice-quic echo-ack echo-full jetstream",
	} {
		if got := strings.Join(order(systems, round), " "); got != want {
			t.Errorf("round %d: %s", round, got)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"nonsense"}, {"list", "x"}, {"suite", "-nonsense"}, {"suite", "-rounds", "0"}, {"run", "-driver", "rabbit"}} {
		if err := dispatch(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), errUsage.Error()) {
			t.Errorf("%v: %v", args, err)
		}
	}
	err := dispatch(t.Context(), []string{"suite", "-sluice", "/nowhere/sluice", "-out", t.TempDir()}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("without a binary: %v", err)
	}
	var out bytes.Buffer
	if err := dispatch(t.Context(), []string{"list"}, &out); err != nil || !strings.Contains(out.String(), "half-load") {
		t.Errorf("list: %v\n%s", err, out.String())
	}
}

// Without its jars Kafka is left out and the rest runs, unless Kafka was requested by name.
func TestKafkaWithoutJars(t *testing.T) {
	w, err := workloads.Load("1KiB-8p")
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s := &suite{jars: t.TempDir(), print: func(format string, args ...any) { fmt.Fprintf(&said, format, args...) }}
	s.report.Workloads = []workloads.Workload{w}
	if _, err := s.findKafka(); err != nil || !strings.Contains(said.String(), "NOT RUN: Apache Kafka") {
		t.Fatalf("%v; it said %q", err, said.String())
	}
	if s.needs(kafkaTCP, kafkaTLS) || !s.needs("sluice-tcp") {
		t.Errorf("left are %v", s.report.Workloads[0].Systems)
	}
	s.report.Workloads[0].Systems = []string{kafkaTLS}
	s.systems = []string{kafkaTLS}
	if _, err := s.findKafka(); err == nil || !strings.Contains(err.Error(), "bench-jars") {
		t.Errorf("asked for by name: %v", err)
	}
}
