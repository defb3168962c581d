package histogram

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestBuckets(t *testing.T) {
	h := prometheus.NewHistogram(Seconds("x_seconds", "X.", time.Millisecond, time.Second))
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 { // spanning ten orders of magnitude
		h.Observe(math.Exp(rng.Float64()*23 - 12))
	}
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	classic := m.Histogram.Bucket
	if n := len(classic); n != 11 || *classic[0].UpperBound != 0.001 || *classic[n-1].UpperBound < 1 {
		t.Errorf("classic buckets: %v", classic)
	}
	for i := 1; i < len(classic); i++ {
		if r := *classic[i].UpperBound / *classic[i-1].UpperBound; math.Abs(r-2) > 1e-9 {
			t.Errorf("bucket %d is %v times the previous one", i, r)
		}
	}
	if n := len(m.Histogram.PositiveDelta); n < 20 || n > mostBuckets {
		t.Errorf("%d native buckets", n)
	}
}

// BenchmarkObserve measures the cost of one observation, and the memory of a histogram of
// times over five orders of magnitude.
func BenchmarkObserve(b *testing.B) {
	for _, kind := range []string{"classic", "native"} {
		b.Run(kind, func(b *testing.B) {
			o := Seconds("x_seconds", "X.", 100*time.Microsecond, 60*time.Second)
			if kind == "classic" {
				o.NativeHistogramBucketFactor = 0
			}
			const n = 100
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var all [n]prometheus.Histogram
			for i := range all {
				all[i] = prometheus.NewHistogram(o)
				for v := 100e-6; v < 10; v *= 1.05 {
					all[i].Observe(v)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			i := 0
			for b.Loop() {
				all[i%n].Observe(float64(i%1000) * 1e-4)
				i++
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "histogram-bytes")
			runtime.KeepAlive(&all)
		})
	}
}
