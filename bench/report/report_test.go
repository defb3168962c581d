package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/bench/device"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values           []float64
		least, mid, most float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1, 3}, 1, 3, 4},
		{[]float64{4, 1, 3, 2}, 1, 2.5, 4},
	} {
		if s := NewSpread(tc.values); s.Min != tc.least || s.Median != tc.mid || s.Max != tc.most || s.Rounds != len(tc.values) {
			t.Errorf("%v gave %+v", tc.values, s)
		}
	}
}

func TestVerdict(t *testing.T) {
	at := func(median, goal float64, below bool) string {
		return Ratio{Spread: Spread{Median: median}, Goal: goal, Below: below}.Verdict()
	}
	for _, tc := range []struct{ got, want string }{
		{at(2, 2, false), "met"}, {at(1.99, 2, false), "NOT MET"}, {at(0.5, 1, true), "met"}, {at(1.01, 1, true), "NOT MET"}, {at(7, 0, false), ""},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func TestFlatness(t *testing.T) {
	samples := func(rss ...int64) (out []load.Sample) {
		for _, r := range rss {
			out = append(out, load.Sample{RSS: r})
		}
		return out
	}
	if f, ok := flatness(samples(1, 2, 10, 12, 9, 18)); !ok || f != 1.5 {
		t.Errorf("got %v, %t; want 18/12", f, ok)
	}
	for _, few := range [][]load.Sample{nil, samples(1, 2), samples(0, 0, 0)} {
		if _, ok := flatness(few); ok {
			t.Errorf("%v told something", few)
		}
	}
}

// sample is a suite of two rounds with the machine half as fast in the second: ratios within
// rounds do not depend on that.
func sample(t *testing.T) *Suite {
	t.Helper()
	s := &Suite{Rounds: 2, Budgets: 40e6, Host: Host{CPU: "<cpu>"}, Device: []device.Line{{Bytes: 4096, P50: 80}}}
	for _, name := range workloads.Names() {
		w, err := workloads.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Workloads = append(s.Workloads, w)
	}
	speed := map[string]float64{"sluice-tcp": 300, "sluice-quic": 150, "kafka-tcp": 150, "kafka-tls": 200, "jetstream": 100, "echo-ack": 200}
	for _, w := range s.Workloads {
		for round := 1; round <= 2; round++ {
			for _, system := range Systems {
				if speed[system] == 0 {
					continue
				}
				v := speed[system] / float64(round)
				if w.Name == "10k-partitions" {
					v *= 0.9
				}
				l := load.Latency{Count: 5, P50: 1, P99: 1000 / v, Curve: []load.Point{{Percentile: 50, MS: 1}, {Percentile: 99, MS: 1000 / v}, {Percentile: 100, MS: 2000 / v}}}
				s.Runs = append(s.Runs, Run{Workload: w.Name, System: system, Round: round, Outcome: load.Outcome{RecordsPerS: v, Produce: l, EndToEnd: l,
					ServerCPUPerGB: 1, PeakRSS: 90e6, MaxRSS: 30e6, ServerCores: 0.01,
					Timeline: []load.Sample{{At: 0.25, RecordsPerS: v, RSS: 5}, {At: 0.5, RecordsPerS: v, RSS: 10}, {At: 0.75, RecordsPerS: v, RSS: 10}}}})
			}
		}
	}
	return s
}

func TestCompute(t *testing.T) {
	s := sample(t)
	s.Compute()
	want := map[string]struct {
		median, goal float64
		verdict      string
	}{
		"1KiB-8p records a second, sluice-tcp / jetstream":                 {3, 2, "met"},
		"1KiB-8p records a second, sluice-quic / jetstream":                {1.5, 1, "met"},
		"1KiB-8p records a second, sluice-quic / echo-ack":                 {0.75, 0.7, "met"},
		"1KiB-8p records a second, sluice-tcp / kafka-tcp":                 {2, 1.8, "met"},
		"1KiB-8p records a second, sluice-quic / kafka-tls":                {0.75, 0.8, "NOT MET"},
		"1KiB-8p sluice-tcp, CPU seconds a GB of the server":               {1, 1.5, "met"},
		"128B-8p records a second, sluice-tcp / kafka-tcp":                 {2, 2, "met"},
		"128B-8p records a second, sluice-tcp / jetstream":                 {3, 0, ""},
		"half-load p99 of produce, sluice-tcp / jetstream":                 {1. / 3, 0, ""},
		"10k-partitions records a second, sluice-tcp / 10-partitions":      {0.9, 0.8, "met"},
		"idle sluice-tcp, MB resident at most":                             {30, 60, "met"},
		"idle sluice-tcp, % of a core":                                     {1, 2, "met"},
		"overload sluice-tcp, peak memory / (budgets + 60 MB)":             {0.9, 1, "met"},
		"overload sluice-tcp, memory in the last third / the third before": {1, 1.1, "met"},
		"overload jetstream, memory in the last third / the third before":  {1, 0, ""},
		"tail-with-backlog p99 end to end, sluice-tcp / jetstream":         {1. / 3, 0, ""},
	}
	for _, r := range s.Ratios {
		w, asked := want[r.Workload+" "+r.What]
		if !asked {
			continue
		}
		delete(want, r.Workload+" "+r.What)
		if math.Abs(r.Median-w.median) > 1e-9 || r.Goal != w.goal || r.Verdict() != w.verdict || r.Rounds != 2 || math.Abs(r.Max-r.Min) > 1e-9 {
			t.Errorf("%s %s: %+v %s, want %+v", r.Workload, r.What, r, r.Verdict(), w)
		}
	}
	for missing := range want {
		t.Errorf("not computed: %s", missing)
	}
}

// A round in which one side did not run, or did nothing, gives no ratio.
func TestRatiosNeedBothSides(t *testing.T) {
	run := func(round int, v float64) Run { return Run{Round: round, Outcome: load.Outcome{RecordsPerS: v}} }
	got := ratios([]Run{run(1, 6), run(2, 8), run(3, 5)}, []Run{run(1, 3), run(3, 0)}, throughput)
	if len(got) != 1 || got[0] != 2 {
		t.Errorf("got %v", got)
	}
}

func TestSave(t *testing.T) {
	s := sample(t)
	s.Compute()
	dir := t.TempDir()
	if err := s.Save(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Suite
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Runs) != len(s.Runs) || len(back.Ratios) != len(s.Ratios) || back.Runs[0].RecordsPerS != s.Runs[0].RecordsPerS {
		t.Error("the JSON does not hold what was saved")
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "http://", "https://", "NaN", "Inf", "<cpu>"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page has %q in it", bad)
		}
	}
	if n := bytes.Count(page, []byte("<svg")); n < 3*len(s.Workloads)-2 {
		t.Errorf("the page has %d plots", n)
	}
	for _, w := range s.Workloads {
		for _, p := range s.plots(w) {
			wellFormed(t, w.Name, string(p))
		}
	}
}

func wellFormed(t *testing.T, name, picture string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v in %.200s", name, err, picture)
			return
		}
	}
}

func TestAxis(t *testing.T) {
	a := axis{from: 100, to: 0, max: 50}
	if a.at(0) != 100 || a.at(50) != 0 || a.at(25) != 50 {
		t.Error("a linear axis is not linear")
	}
	if got := len(a.ticks()); got < 4 || got > 8 {
		t.Errorf("%d ticks", got)
	}
	l := logAxis(0, 3, 0.2, 95)
	if math.Abs(l.at(1)-1) > 1e-9 || l.min != 0.1 || l.max != 100 || len(l.ticks()) != 4 {
		t.Errorf("1 is at %v of 0.1 to 100; ticks %v", l.at(1), l.ticks())
	}
}
