package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicemq/sluice/bench/device"
	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/report"
	"github.com/sluicemq/sluice/bench/workloads"
)

// suite is one run of the suite command.
type suite struct {
	sluice, nats string // binaries
	java, jars   string // to run Kafka
	self         string // this binary
	out          string
	data         string // the servers' directories, on the measured disk
	only         []string
	systems      []string
	rounds       int
	short        bool
	print        func(format string, args ...any)

	report report.Suite
	frames map[string]frame // by workload, of this round
}

// frame is the mean produce request received by sluice-quic, for the echo to repeat.
type frame struct {
	bytes int
	share float64 // fraction of it that is record values
}

func suiteCommand(ctx context.Context, args []string, out io.Writer) error {
	s := &suite{print: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }}
	f := flag.NewFlagSet("suite", flag.ContinueOnError)
	f.StringVar(&s.sluice, "sluice", "../bin/sluice", "binary of Sluice")
	f.StringVar(&s.nats, "nats-server", "", "binary of nats-server; built from its module if empty")
	f.StringVar(&s.jars, "kafka", "../bin/oracle", "folder with the jars of Apache Kafka, which is left out where they or Java are missing")
	f.StringVar(&s.out, "out", "out", "directory of the report")
	dir := f.String("dir", "", "directory for the servers' data; in -out if empty")
	only := f.String("only", "", "workloads, with commas; all if empty")
	systems := f.String("systems", "", "systems, with commas; those that the workloads name if empty")
	f.IntVar(&s.rounds, "rounds", 3, "how often each workload runs on each system")
	f.BoolVar(&s.short, "short", false, "a smoke test: few workloads, one short round")
	if err := parse(f, args); err != nil {
		return err
	}
	if s.rounds < 1 {
		return fmt.Errorf("%w: -rounds must be 1 or more", errUsage)
	}
	s.only, s.systems = split(*only), split(*systems)
	if err := s.prepare(ctx, *dir); err != nil {
		return err
	}
	defer os.RemoveAll(s.data)
	if err := s.run(ctx); err != nil {
		return err
	}
	return s.finish()
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// prepare locates the binaries and measures the disk.
func (s *suite) prepare(ctx context.Context, dir string) error {
	var err error
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if _, err := os.Stat(s.sluice); err != nil {
		return fmt.Errorf("the binary of Sluice is not there (%w); run make build, or give -sluice", err)
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	if dir == "" {
		dir = s.out
	}
	if s.data, err = os.MkdirTemp(dir, "data-"); err != nil {
		return err
	}
	if s.data, err = filepath.Abs(s.data); err != nil {
		return err
	}
	if err := s.choose(); err != nil {
		return err
	}
	kafkaVersion, err := s.findKafka()
	if err != nil {
		return err
	}
	if s.nats == "" && s.needs("jetstream", "jetstream-sync") {
		s.print("building nats-server")
		if s.nats, err = process.BuildJetStream(ctx, s.data); err != nil {
			return err
		}
	}
	s.report.Started, s.report.Rounds, s.report.Short = time.Now().UTC(), s.rounds, s.short
	s.report.Host = host(ctx, s.sluice, s.nats)
	s.report.Host.Kafka = kafkaVersion
	s.report.Budgets = budgets(ctx, s.sluice)
	return s.measureDevice()
}

func (s *suite) measureDevice() error {
	each := 2 * time.Second
	if s.short {
		each = 200 * time.Millisecond
	}
	var err error
	if s.report.Device, err = device.Measure(s.data, each); err != nil {
		s.print("disk: %v", err) // a file system without O_DIRECT; everything else can be measured
		return nil
	}
	for _, l := range s.report.Device {
		s.print("disk, O_DIRECT|O_DSYNC pwrite at depth 1, %s", l)
	}
	return nil
}

// smoke are the workloads of -short, each for a second or two.
var smoke = []string{"1KiB-8p", "half-load", "idle"}

// choose loads the workloads.
func (s *suite) choose() error {
	names := workloads.Names()
	if s.short {
		s.rounds, names = 1, smoke
	}
	if len(s.only) > 0 {
		names = s.only
	}
	for _, name := range names {
		w, err := workloads.Load(name)
		if err != nil {
			return err
		}
		if s.short {
			w = shorten(w)
		}
		if len(s.systems) > 0 {
			w.Systems = slices.DeleteFunc(w.Systems, func(x string) bool { return !slices.Contains(s.systems, x) })
		}
		s.report.Workloads = append(s.report.Workloads, w)
	}
	return nil
}

func shorten(w workloads.Workload) workloads.Workload {
	w.WarmupS, w.DurationS = 0.3, min(w.DurationS, 1.5)
	w.Rate /= 4
	w.BacklogRecords /= 16
	w.Systems = slices.DeleteFunc(w.Systems, func(x string) bool { return x == "jetstream-sync" })
	return w
}

func (s *suite) needs(systems ...string) bool {
	for _, w := range s.report.Workloads {
		for _, x := range systems {
			if slices.Contains(w.Systems, x) {
				return true
			}
		}
	}
	return false
}

// run runs the rounds. In each, the systems take turns on one workload, starting with a
// different one; the echo follows the run whose bytes it repeats.
func (s *suite) run(ctx context.Context) error {
	s.frames = make(map[string]frame)
	for round := range s.rounds {
		for _, w := range s.report.Workloads {
			s.print("round %d, %s: %s", round+1, w.Name, w.About)
			for _, system := range order(w.Systems, round) {
				if err := s.measure(ctx, w, system, round+1); err != nil {
					return fmt.Errorf("%s on %s: %w", w.Name, system, err)
				}
			}
		}
	}
	return nil
}

// order rotates the systems by round; the echo expands to two systems after sluice-quic.
func order(systems []string, round int) []string {
	const quic, echo = "sluice-quic", "echo"
	var out []string
	for i := range systems {
		switch system := systems[(i+round)%len(systems)]; {
		case system == echo && !slices.Contains(systems, quic):
			out = append(out, "echo-ack", "echo-full")
		case system == echo:
		case system == quic && slices.Contains(systems, echo):
			out = append(out, quic, "echo-ack", "echo-full")
		default:
			out = append(out, system)
		}
	}
	return out
}

// finish computes the ratios and writes the report.
func (s *suite) finish() error {
	s.report.Ended = time.Now().UTC()
	s.report.Compute()
	s.print("")
	for _, r := range s.report.Ratios {
		s.print("%s", r)
	}
	if err := s.report.Save(s.out); err != nil {
		return err
	}
	s.print("\nreport: %s", filepath.Join(s.out, "report.html"))
	return s.sane()
}

// sane fails if a system did no work, or if Sluice lost or refused records. Other systems may
// refuse what they are too slow for; the report says so.
func (s *suite) sane() error {
	for _, r := range s.report.Runs {
		if r.TotalAcked == 0 && !s.idle(r.Workload) {
			return fmt.Errorf("%s on %s, round %d: nothing was acknowledged (%s)", r.Workload, r.System, r.Round, r.FirstError)
		}
		if strings.HasPrefix(r.System, "sluice-") && r.Failed+r.Missing > 0 {
			return fmt.Errorf("%s on %s, round %d: %d records failed and %d acknowledged ones were not delivered (%s)",
				r.Workload, r.System, r.Round, r.Failed, r.Missing, r.FirstError)
		}
	}
	return nil
}

func (s *suite) idle(workload string) bool {
	return slices.ContainsFunc(s.report.Workloads, func(w workloads.Workload) bool {
		return w.Name == workload && w.Kind == workloads.KindIdle
	})
}
