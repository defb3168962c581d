package workloads_test

import (
	"strings"
	"testing"

	"github.com/sluicemq/sluice/bench/workloads"
)

func TestShippedWorkloads(t *testing.T) {
	want := []string{"10-partitions", "10k-partitions", "128B-8p", "1KiB-8p", "after-burst", "fanout", "half-load", "idle", "overload", "tail-alone", "tail-beside-backlog", "tail-beside-slow-backlog", "tail-with-backlog", "tail-with-slow-backlog"}
	if got := strings.Join(workloads.Names(), " "); got != strings.Join(want, " ") {
		t.Fatalf("shipped are %s", got)
	}
	for _, name := range want {
		w, err := workloads.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if w.Name != name || w.About == "" || len(w.Systems) == 0 {
			t.Errorf("%s has name %q, about %q, systems %v", name, w.Name, w.About, w.Systems)
		}
	}
	few, _ := workloads.Load("10-partitions")
	many, _ := workloads.Load("10k-partitions")
	many.Partitions, many.Name, many.About = few.Partitions, few.Name, few.About
	if a, b := many, few; a.RecordBytes != b.RecordBytes || a.RunBytes != b.RunBytes || a.Producers != b.Producers || a.InFlight != b.InFlight {
		t.Error("10k-partitions and 10-partitions differ in more than the number of partitions")
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "name = 'x'\nrecord_byte = 3", "record_byte"},
		{"wrong type", "name = 'x'\npartitions = 'many'", "partitions"},
		{"no name", "partitions = 3", "name is missing"},
		{"no room for the time", "name = 'x'\nrecord_bytes = 15", "16 or more"},
		{"no partition", "name = 'x'\npartitions = 0", "partitions must be 1"},
		{"codec", "name = 'x'\ncompression = 'zip'", "none, gzip, snappy, lz4, zstd"},
		{"acks", "name = 'x'\nacks = '2'", "all, leader, none"},
		{"system", "name = 'x'\nsystems = ['rabbit']", "jetstream"},
		{"endless", "name = 'x'\nduration_s = 0", "duration_s or records"},
		{"nothing elsewhere", "name = 'x'\nbacklog_elsewhere = true", "needs backlog_records"},
		{"negative rate", "name = 'x'\nrate = -1.0", "negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := workloads.Parse([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want something about %q", err, tc.want)
			}
		})
	}
	w, err := workloads.Parse([]byte("name = 'x'\nrate = 10\nlinger_ms = 1.5"))
	if err != nil {
		t.Fatal(err)
	}
	if w.Rate != 10 || w.Linger().Microseconds() != 1500 || w.Acks != "all" || w.Partitions != 8 {
		t.Fatalf("got %+v", w)
	}
}

func TestLoadNamesWhatThereIs(t *testing.T) {
	_, err := workloads.Load("nonsense")
	if err == nil || !strings.Contains(err.Error(), "half-load") {
		t.Fatalf("got %v", err)
	}
}

// Producers use all partitions evenly, in runs, from different starts.
func TestPartition(t *testing.T) {
	w, err := workloads.Parse([]byte("name = 'x'\nrecord_bytes = 100\nrun_bytes = 500\npartitions = 4\nproducers = 2"))
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[int32]int)
	for i := range int64(40) {
		if p, next := w.Partition(0, i), w.Partition(0, i+1); (i+1)%5 != 0 && p != next {
			t.Fatalf("record %d goes to %d, the next to %d", i, p, next)
		}
		counts[w.Partition(0, i)]++
	}
	for p := range int32(4) {
		if counts[p] != 10 {
			t.Errorf("partition %d got %d of 40", p, counts[p])
		}
	}
	if w.Partition(0, 0) == w.Partition(1, 0) {
		t.Error("both producers begin with the same partition")
	}
}
