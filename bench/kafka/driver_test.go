package kafka_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluicemq/sluice/bench/kafka"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

// Everything acknowledged is delivered once to each group, and the backlog to the catching-up
// consumer.
func TestDriver(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, more := range []string{"", "acks = 'leader'\ncompression = 'lz4'", "rate = 2000.0\nlinger_ms = 1.0"} {
		w, err := workloads.Parse([]byte("name = 'small'\nrecord_bytes = 100\npartitions = 5\nrun_bytes = 300\nconsumers = 2\ngroups = 2\n" +
			"backlog_records = 500\nwarmup_s = 0.1\nrecords = 1000\nduration_s = 20.0\nin_flight = 64\n" + more))
		if err != nil {
			t.Fatal(err)
		}
		d := kafka.New(kafka.Config{Addr: c.ListenAddrs()[0], Transport: "tcp"})
		o, err := load.Run(t.Context(), w, d, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Acked < 1000 || o.Failed+o.Missing+o.Twice+o.Unsent > 0 {
			t.Errorf("%q: acknowledged %d, failed %d, missing %d, twice %d: %s", more, o.Acked, o.Failed, o.Missing, o.Twice, o.FirstError)
		}
		if o.Produce.Count != 1000 || o.EndToEnd.Count != 2000 {
			t.Errorf("%q: %d latencies of produce, %d end to end", more, o.Produce.Count, o.EndToEnd.Count)
		}
		if r := d.Requests(); r.Count == 0 || r.Mean() < 100 && w.Compression == "none" {
			t.Errorf("%q: %d produce requests of %d bytes", more, r.Count, r.Mean())
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
