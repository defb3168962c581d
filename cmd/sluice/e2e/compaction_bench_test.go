package e2e

import (
	enc "encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/record"
)

// BenchmarkProduceBesideCompaction produces with acks=all on a fixed schedule: first without
// compaction, then during compaction of a topic by key at the default bandwidth, then without it
// again. It compares the acknowledgement latencies. The difference between the two runs without
// compaction shows the noise of the machine itself.
//
//	s3    objects are in S3 on this machine
//	file  objects are on the same disk as the WAL
//
// -benchtime sets the number of rounds: `-benchtime 5x`.
func BenchmarkProduceBesideCompaction(b *testing.B) {
	b.Run("s3", func(b *testing.B) {
		_, url := startS3(b)
		newBeside(b, url).measure()
	})
	b.Run("file", func(b *testing.B) { newBeside(b, "file://"+b.TempDir()).measure() })
}

const (
	besideWires     = 4
	besideBytes     = 16 << 10 // per request
	besidePerSecond = 512      // requests per second
	besideFor       = 5 * time.Second
	besideBandwidth = 32 << 20 // bytes per second of compaction, the default
	besideWAL       = 512 << 20
)

// beside is a broker that accepts records to one topic and compacts another.
type beside struct {
	*broker
	b     *testing.B
	wires []*wire
	table *wire // produces to the compacted topic
}

func newBeside(b *testing.B, url string) *beside {
	b.Helper()
	dir, addr, admin := b.TempDir(), freePort(b), freePort(b)
	x := &beside{b: b}
	x.broker = role(b, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[wal]
capacity_bytes = %d
[object_storage]
url = %q
[compaction]
paused = true
check_interval_ms = 100
bytes_per_second = %d
[admin]
listen = %q
[log]
level = "warn"
`, dir, addr, addr, besideWAL, url, besideBandwidth, admin), admin)
	x.dir, x.addr = dir, addr
	x.createTopic("live", besideWires)
	x.must("", "topic", "create", "table", "--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0.01")
	batch := randomBatch(b, besideBytes)
	for p := range besideWires {
		x.wires = append(x.wires, x.dial(produceFrame("live", p, 1, batch)))
	}
	var frames [][]byte
	for i := range tableBatches {
		frames = append(frames, produceFrame("table", 0, 1, keyedBatch(b, i)))
	}
	x.table = x.dial(frames...)
	return x
}

// The table has 32 MiB of records with distinct keys. All of them are produced three times before
// each round.
const (
	tableBatches = 128
	tableRecords = 256 // per batch, 1 KiB each
)

// keyedBatch returns the i-th batch of the table.
func keyedBatch(t testing.TB, i int) record.Batch {
	t.Helper()
	random, made := rand.NewChaCha8([32]byte{byte(i)}), record.NewBuilder()
	for j := range tableRecords {
		value := make([]byte, 1000)
		_, _ = random.Read(value) // never fails
		made.Add(time.Now().UnixMilli(), enc.BigEndian.AppendUint64(nil, uint64(i*tableRecords+j)), value)
	}
	batch, err := made.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// recycle fills the WAL and has it uploaded. From then on the WAL reuses its files, as in a broker
// that has run for a while.
func (x *beside) recycle() {
	x.b.Helper()
	x.set("upload", "ledger", "size_bytes", 1<<40)
	for x.metric("sluice_wal_live_bytes") < besideWAL*3/4 {
		flatOut(x.b, x.wires, 8, time.Second/4)
	}
	x.rest()
}

// rest has everything uploaded, then sets the upload interval to ten minutes.
func (x *beside) rest() {
	x.b.Helper()
	x.set("upload", "ledger", "interval_ms", 1000)
	x.uploaded(x.metric("sluice_wal_payload_bytes_total"))
	until := time.Now().Add(60 * time.Second)
	for x.metric("sluice_upload_pending_bytes") > 0 {
		if time.Now().After(until) {
			x.b.Fatal("not all is uploaded after a minute")
		}
		<-time.After(50 * time.Millisecond)
	}
	x.set("upload", "ledger", "interval_ms", 600_000)
}

// dirty produces records to the table for compaction to clean.
func (x *beside) dirty() {
	x.b.Helper()
	for range 3 * tableBatches {
		if err := x.table.send(); err != nil {
			x.b.Fatal(err)
		}
		if err := x.table.receive(); err != nil {
			x.b.Fatal(err)
		}
	}
	x.rest()
}

// moved returns the bytes that compaction has read and written so far.
func (x *beside) moved() float64 {
	return x.metric("sluice_compaction_read_bytes_total") + x.metric("sluice_compaction_written_bytes_total")
}

// produce measures produce latencies for besideFor. It first flushes what the kernel has yet to
// write from before.
func (x *beside) produce() *latencies {
	x.b.Helper()
	unix.Sync()
	return paced(x.b, x.wires, int(besidePerSecond*besideFor.Seconds()), besidePerSecond)
}

// besideRound holds the measurements of one round.
type besideRound struct {
	before, beside, after *latencies
	perSecond             float64 // bytes read and written by compaction, per second
	cores                 float64 // used by the broker during compaction
}

func (x *beside) measure() {
	x.recycle()
	var rounds []besideRound
	for x.b.Loop() {
		x.dirty()
		r := besideRound{before: x.produce()}
		x.set("compact", "compact", "paused", 0)
		moved, cpu, began := x.moved(), x.metric("process_cpu_seconds_total"), time.Now()
		r.beside = x.produce()
		took := time.Since(began).Seconds()
		r.perSecond = (x.moved() - moved) / took
		r.cores = (x.metric("process_cpu_seconds_total") - cpu) / took
		x.set("compact", "compact", "paused", 1)
		r.after = x.produce()
		if r.perSecond < besideBandwidth/4 {
			x.b.Errorf("compaction moved %.1f MB/s, which is not what it may: it had nothing to do, or the machine is too busy", r.perSecond/1e6)
		}
		rounds = append(rounds, r)
	}
	// Not b.Log, which truncates after ten lines.
	fmt.Fprintf(os.Stderr, "%s%s\n", x.b.Name(), x.report(rounds))
}

// report reports the medians over the rounds. Ratios are computed within a round. The returned
// text lists the single rounds too.
func (x *beside) report(rounds []besideRound) string {
	all := &strings.Builder{}
	x.b.ReportMetric(0, "ns/op")
	of := func(name string, f func(r besideRound) float64) {
		v := make([]float64, len(rounds))
		for i, r := range rounds {
			v[i] = f(r)
		}
		x.b.ReportMetric(median(v), name)
		fmt.Fprintf(all, "\n%-24s %9.2f   %8.2f", name, median(v), v)
	}
	ms := func(l *latencies, q float64) float64 { return quantile(l.scheduled, q) * 1e3 }
	alone := func(r besideRound) *latencies {
		both := &latencies{}
		both.add(r.before)
		both.add(r.after)
		return both
	}
	of("compaction-MB/s", func(r besideRound) float64 { return r.perSecond / 1e6 })
	of("broker-cores", func(r besideRound) float64 { return r.cores })
	of("alone-p50-ms", func(r besideRound) float64 { return ms(alone(r), .5) })
	of("beside-p50-ms", func(r besideRound) float64 { return ms(r.beside, .5) })
	of("alone-p99-ms", func(r besideRound) float64 { return ms(alone(r), .99) })
	of("beside-p99-ms", func(r besideRound) float64 { return ms(r.beside, .99) })
	of("beside/alone-p99", func(r besideRound) float64 { return ms(r.beside, .99) / ms(alone(r), .99) })
	of("after/before-p99", func(r besideRound) float64 { return ms(r.after, .99) / ms(r.before, .99) })
	return all.String()
}
