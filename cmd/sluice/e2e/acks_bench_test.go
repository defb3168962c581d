package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// BenchmarkAcksUnderHalfLoad produces with acks=all on a fixed schedule, at half the broker's
// maximum rate measured just before. It compares the acknowledgement latency, counted from the
// scheduled send time, with the latency of single synchronous writes to the same disk when idle.
// Client and broker share the processors.
//
//	none     nothing is uploaded during the measurement
//	uploads  objects of 128 MiB are uploaded to the same disk
//
// -benchtime sets the number of rounds: `-benchtime 5x`.
func BenchmarkAcksUnderHalfLoad(b *testing.B) {
	for _, shape := range []struct {
		wires, kib, outstanding int
		wal                     int64 // WAL capacity in bytes; a round fits into three quarters of it
	}{{4, 64, 8, 4 << 30}, {32, 4, 8, 1 << 30}} {
		for _, uploads := range []bool{false, true} {
			name := map[bool]string{false: "none", true: "uploads"}[uploads]
			b.Run(fmt.Sprintf("%dx%dKiB/%s", shape.wires, shape.kib, name), func(b *testing.B) {
				l := newAcksLoad(b, shape.wires, shape.kib<<10, shape.outstanding, shape.wal)
				l.recycle(shape.wal)
				if uploads {
					l.tune("upload/ledger", "size_bytes=134217728")
				}
				l.warmUp()
				l.measure()
			})
		}
	}
}

const (
	flatFor   = time.Second
	pacedFor  = 2 * time.Second
	probedFor = time.Second / 2
	never     = "size_bytes=1099511627776"
)

// acksLoad is a broker, its clients, and the disk that the broker writes to.
type acksLoad struct {
	*broker
	b           *testing.B
	wires       []*wire
	outstanding int // requests per wire when flat out
	request     int // batch bytes per request
	disk        *syncWrites
	most        []float64 // requests per second, flat out
}

func newAcksLoad(b *testing.B, wires, bytes, outstanding int, wal int64) *acksLoad {
	b.Helper()
	dir, addr, admin := b.TempDir(), freePort(b), freePort(b)
	l := &acksLoad{b: b, outstanding: outstanding, disk: newSyncWrites(b, dir)}
	l.broker = role(b, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[wal]
capacity_bytes = %d
[compaction]
paused = true
[admin]
listen = %q
[log]
level = "warn"
`, dir, addr, wal, admin), admin)
	l.addr = addr
	l.createTopic("acks", int32(wires))
	batch := randomBatch(b, bytes)
	l.request = len(batch)
	for p := range wires {
		l.wires = append(l.wires, l.dial(produceFrame("acks", p, 1, batch)))
	}
	return l
}

func (l *acksLoad) tune(stage, setting string) {
	l.b.Helper()
	l.must("", "config", "set", "limits", stage, setting, "--admin", l.admin)
}

// recycle fills the WAL until it requests uploads, then has all of it uploaded. From then on the
// WAL reuses its files, as in a broker that has run for a while. It also turns off uploads by size.
func (l *acksLoad) recycle(wal int64) {
	l.b.Helper()
	l.tune("upload/ledger", never)
	for l.metric("sluice_wal_live_bytes") < float64(wal)*3/4 {
		flatOut(l.b, l.wires, l.outstanding, flatFor)
	}
	l.rest()
}

// rest has everything uploaded, which leaves the disk idle and the WAL with free space.
func (l *acksLoad) rest() {
	l.b.Helper()
	l.tune("upload/ledger", "interval_ms=1000")
	payload, until := l.metric("sluice_wal_payload_bytes_total"), time.Now().Add(90*time.Second)
	for l.metric("sluice_upload_bytes_total") < payload {
		if time.Now().After(until) {
			l.b.Fatalf("%.0f of %.0f bytes are uploaded after 90 s", l.metric("sluice_upload_bytes_total"), payload)
		}
		<-time.After(50 * time.Millisecond)
	}
	l.tune("upload/ledger", "interval_ms=600000")
}

// warmUp measures the broker's maximum rate. It varies from one second to the next, so half load
// is half the median of all measurements so far.
func (l *acksLoad) warmUp() {
	l.b.Helper()
	for range 2 {
		l.flatOut()
	}
}

// flatOut measures the maximum rate for flatFor, then waits until the disk is idle again.
func (l *acksLoad) flatOut() {
	l.b.Helper()
	l.most = append(l.most, flatOut(l.b, l.wires, l.outstanding, flatFor))
	l.rest()
}

// acksRound holds the measurements of one round, in seconds and bytes per second.
type acksRound struct {
	small, group []float64 // disk writes of 4 KiB, and of the broker's mean group size
	half         float64
	acks         *latencies
	groupBytes   int
	cpu          cpu
}

// measure runs the rounds: first the broker at half load, then the disk alone.
func (l *acksLoad) measure() {
	var rounds []acksRound
	stages := newStageTimes()
	for l.b.Loop() {
		var r acksRound
		l.flatOut()
		half := median(l.most) / 2
		r.half = half * float64(l.request)
		groups, written := l.metric("sluice_wal_groups_total"), l.metric("sluice_wal_written_bytes_total")
		before := l.look()
		r.cpu = l.cpuOf(func() { r.acks = paced(l.b, l.wires, int(half*pacedFor.Seconds()), half) })
		stages.add(before, l.look())
		groups, written = l.metric("sluice_wal_groups_total")-groups, l.metric("sluice_wal_written_bytes_total")-written
		l.rest()
		r.groupBytes = min(1<<20, max(blockfs.BlockSize, int(written/groups)&^(blockfs.BlockSize-1)))
		r.small = l.disk.run(blockfs.BlockSize, probedFor)
		r.group = l.disk.run(r.groupBytes, probedFor)
		rounds = append(rounds, r)
	}
	// Not b.Log, which truncates after ten lines.
	fmt.Fprintf(os.Stderr, "%s%s\nwhere the time went while it was paced, in µs:\n%s\n", l.b.Name(), l.report(rounds), stages)
}

// report reports the medians over the rounds. Ratios are computed within a round. The returned
// text lists the single rounds too.
func (l *acksLoad) report(rounds []acksRound) string {
	b, all := l.b, &strings.Builder{}
	b.ReportMetric(0, "ns/op")
	of := func(name string, f func(r acksRound) float64) {
		v := make([]float64, len(rounds))
		for i, r := range rounds {
			v[i] = f(r)
		}
		b.ReportMetric(median(v), name)
		fmt.Fprintf(all, "\n%-24s %9.2f   %8.2f", name, median(v), v)
	}
	µs := func(s []float64, q float64) float64 { return quantile(s, q) * 1e6 }
	of("half-MB/s", func(r acksRound) float64 { return r.half / 1e6 })
	of("group-KiB", func(r acksRound) float64 { return float64(r.groupBytes) / 1024 })
	of("disk-4KiB-p50-µs", func(r acksRound) float64 { return µs(r.small, .5) })
	of("disk-4KiB-p99-µs", func(r acksRound) float64 { return µs(r.small, .99) })
	of("disk-group-p50-µs", func(r acksRound) float64 { return µs(r.group, .5) })
	of("disk-group-p99-µs", func(r acksRound) float64 { return µs(r.group, .99) })
	of("broker-cores", func(r acksRound) float64 { return r.cpu.broker })
	of("client-cores", func(r acksRound) float64 { return r.cpu.client })
	of("other-cores", func(r acksRound) float64 { return r.cpu.others })
	of("stolen-cores", func(r acksRound) float64 { return r.cpu.stolen })
	of("late-p99-µs", func(r acksRound) float64 { return µs(r.acks.late, .99) })
	of("ack-p50-µs", func(r acksRound) float64 { return µs(r.acks.scheduled, .5) })
	of("ack-p99-µs", func(r acksRound) float64 { return µs(r.acks.scheduled, .99) })
	of("ack-p99.9-µs", func(r acksRound) float64 { return µs(r.acks.scheduled, .999) })
	of("ack-p99-from-sent-µs", func(r acksRound) float64 { return µs(r.acks.sent, .99) })
	of("ack/disk-4KiB-p50", func(r acksRound) float64 { return µs(r.acks.scheduled, .99) / µs(r.small, .5) })
	of("ack/disk-4KiB-p99", func(r acksRound) float64 { return µs(r.acks.scheduled, .99) / µs(r.small, .99) })
	of("ack/disk-group-p50", func(r acksRound) float64 { return µs(r.acks.scheduled, .99) / µs(r.group, .5) })
	of("ack/disk-group-p99", func(r acksRound) float64 { return µs(r.acks.scheduled, .99) / µs(r.group, .99) })
	return all.String()
}

func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[int(q*float64(len(s)-1))]
}
