package jetstream_test

import (
	"testing"

	"github.com/sluicemq/sluice/bench/jetstream"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/bench/workloads"
)

// In both modes a real server delivers what it acknowledges.
func TestDriver(t *testing.T) {
	dir := t.TempDir()
	binary, err := process.BuildJetStream(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, sync := range []bool{false, true} {
		p, err := process.StartJetStream(t.Context(), binary, t.TempDir(), sync)
		if err != nil {
			t.Fatal(err)
		}
		w, err := workloads.Parse([]byte("name = 'small'\nrecord_bytes = 100\npartitions = 5\nrun_bytes = 300\nconsumers = 2\ngroups = 2\n" +
			"backlog_records = 500\nwarmup_s = 0.1\nrecords = 1000\nduration_s = 20.0\nin_flight = 64\nstreams = 3"))
		if err != nil {
			t.Fatal(err)
		}
		d := jetstream.New(p.Addr)
		o, err := load.Run(t.Context(), w, d, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if o.Acked < 1000 || o.Failed+o.Missing+o.Twice+o.Unsent > 0 {
			t.Errorf("sync %t: acknowledged %d, failed %d, missing %d, twice %d: %s", sync, o.Acked, o.Failed, o.Missing, o.Twice, o.FirstError)
		}
		if o.Produce.Count != 1000 || o.EndToEnd.Count != 2000 {
			t.Errorf("sync %t: %d latencies of produce, %d end to end", sync, o.Produce.Count, o.EndToEnd.Count)
		}
		if o.PeakRSS < 1<<20 {
			t.Errorf("sync %t: peak memory of %d bytes", sync, o.PeakRSS)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}
