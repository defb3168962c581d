package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/record"
)

// smallBatches returns the number of batches of one record that TestSmallRecords leaves in the WAL:
// SLUICE_SMALL_BATCHES (9 million in `make soak-small`), or 400,000.
func smallBatches(t *testing.T) int {
	text := os.Getenv("SLUICE_SMALL_BATCHES")
	if text == "" {
		return 400_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// smallPartitions returns the number of partitions that the batches are spread over.
func smallPartitions(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SLUICE_SMALL_PARTITIONS"))
	if err != nil {
		return 100
	}
	return n
}

// With a WAL full of batches of one record the process stays within its memory map, since it keeps next
// to nothing per batch. All of them can be read, also after a restart.
func TestSmallRecords(t *testing.T) {
	batches, partitions := smallBatches(t), smallPartitions(t)
	b := smallRecordsBroker(t)
	b.must("", "topic", "create", "small", "--partitions", fmt.Sprint(partitions), "--transport", "tcp")
	batch, err := record.NewBuilder().Add(time.Now().UnixMilli(), nil, []byte("8 bytes!")).Build()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	produceBatches(t, b, "small", partitions, batches/partitions, batch)
	t.Logf("%d batches in %s", batches, time.Since(began).Round(time.Millisecond))
	checkSmall(t, b, "after produce", 450e6)
	if used := b.metric("sluice_wal_used_bytes"); used < float64(batches*len(batch)) {
		t.Fatalf("only %.0f bytes are in the WAL", used)
	}
	// The index has a run for each WAL group and partition. The number of batches in a run depends on how
	// busy the disk is. An index of single batches would take 24 bytes for each.
	if b.metric("sluice_memory_bytes", `"tail_index"`) > 8*float64(batches) {
		t.Errorf("the index has %.0f bytes for %d batches", b.metric("sluice_memory_bytes", `"tail_index"`), batches)
	}
	readSmall(t, b, partitions, batches/partitions)
	checkSmall(t, b, "after consume", 450e6+answer)
	text := b.args
	b.kill()
	b = role(t, "broker", text[0], b.admin).with(b)
	readSmall(t, b, partitions, batches/partitions)
	checkSmall(t, b, "after restart and consume", 450e6)
}

// with copies the directory, address and arguments of an earlier process.
func (b *broker) with(old *broker) *broker {
	b.dir, b.addr, b.args = old.dir, old.addr, old.args
	return b
}

// smallRecordsBroker starts a broker that keeps everything in its WAL.
func smallRecordsBroker(t *testing.T) *broker {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[wal]
capacity_bytes = 2147483648
upload_size_bytes = 2147483648
upload_interval_ms = 86400000
[admin]
listen = %q
[log]
level = "warn"
`, dir, addr, admin)
	b := role(t, "broker", text, admin)
	b.dir, b.addr, b.args = dir, addr, []string{text}
	return b
}

// produceBatches sends a batch to each partition of a topic, the given number of times.
func produceBatches(t *testing.T, b *broker, topic string, partitions, times int, batch record.Batch) {
	t.Helper()
	const wires, outstanding = 4, 64
	frame := produceFrame(topic, 0, partitions, batch)
	var all sync.WaitGroup
	for i := range wires {
		n := times / wires
		if i < times%wires {
			n++
		}
		w := b.dial(frame)
		all.Go(func() {
			for sent, got := 0, 0; got < n; got++ {
				for ; sent < n && sent < got+outstanding; sent++ {
					if err := w.send(); err != nil {
						t.Error(err)
						return
					}
				}
				if err := w.receive(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// answer is the maximum response size that readSmall's consumer requests. Such a response takes memory
// of its own if it is not in the write cache.
const answer = 50 << 20

// checkSmall checks that the process's resident memory never exceeded most bytes.
func checkSmall(t *testing.T, b *broker, when string, most int64) {
	t.Helper()
	rss := residentBytes(t, b)
	t.Logf("%s: resident %d MiB, heap %.0f MiB, %.0f collections", when, rss>>20, b.metric("go_memstats_heap_inuse_bytes")/(1<<20), b.metric("go_gc_duration_seconds_count"))
	if rss > most {
		t.Errorf("%s: %d bytes are resident", when, rss)
	}
}

// residentBytes returns the process's peak resident memory.
func residentBytes(t *testing.T, b *broker) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// readSmall reads the topic from its start and checks that it gets every offset once, in order.
func readSmall(t *testing.T, b *broker, partitions, each int) {
	t.Helper()
	began := time.Now()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ConsumeTopics("small"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	next := make([]int64, partitions)
	for left := partitions * each; left > 0; {
		f := c.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("%d are missing: %v", left, err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] || string(r.Value) != "8 bytes!" {
				t.Fatalf("partition %d: offset %d with %q where %d is expected", r.Partition, r.Offset, r.Value, next[r.Partition])
			}
			next[r.Partition]++
			left--
		})
	}
	t.Logf("read in %s", time.Since(began).Round(time.Millisecond))
}
