package wal

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// BenchmarkGroupCommit hands in groups of 64 KiB at half the rate that the log has
// just been measured to take, and compares how long each takes to be durable with
// one synchronous write of the same size to the same disk, in turns.
func BenchmarkGroupCommit(b *testing.B) {
	file := newOverwritten(b)
	log := newBenchLog(b)
	log.write(2 * int(log.cfg.CapacityBytes) / benchWrite) // all segments are recycled from now on
	var device, commit []float64
	b.ResetTimer()
	for b.Loop() {
		for range 200 {
			began := time.Now()
			file.write(1)
			device = append(device, time.Since(began).Seconds())
		}
		const n = benchRound / benchWrite
		began := time.Now()
		log.write(n)
		commit = append(commit, log.paced(n, 2*time.Since(began)/n)...)
	}
	slices.Sort(device)
	slices.Sort(commit)
	at := func(s []float64, q float64) float64 { return s[int(q*float64(len(s)-1))] }
	b.ReportMetric(at(device, .5)*1e6, "device-p50-µs")
	b.ReportMetric(at(device, .99)*1e6, "device-p99-µs")
	b.ReportMetric(at(commit, .5)*1e6, "commit-p50-µs")
	b.ReportMetric(at(commit, .99)*1e6, "commit-p99-µs")
	b.ReportMetric(at(commit, .99)/at(device, .5), "commit-p99/device-p50")
	b.ReportMetric(at(commit, .99)/at(device, .99), "commit-p99/device-p99")
}

// paced hands in n groups, one each interval, and returns how many seconds each
// took.
func (w *benchLog) paced(n int, interval time.Duration) []float64 {
	var all sync.WaitGroup
	took, began := make([]float64, n), time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * interval)))
		handed := time.Now() // the timer's lateness is not the log's
		a := &flow.Append{Partition: topic.Partition{Topic: aTopic}, Batch: w.batch, BaseOffset: w.base}
		w.base++
		g := &flow.Group{Writes: []*flow.Write{{Appends: []*flow.Append{a}}}, Bytes: benchWrite}
		all.Add(1)
		receipt := pipeline.NewReceipt(func(err error) {
			defer all.Done()
			if err != nil {
				w.b.Error(err)
			}
			took[i] = time.Since(handed).Seconds()
		})
		if err := w.emit(context.Background(), pipeline.Parcel[*flow.Group]{Body: g, Size: benchWrite, Receipt: receipt}); err != nil {
			w.b.Fatal(err)
		}
	}
	all.Wait()
	return took
}
