// Package histogram has what all histograms of times have in common: classic buckets, each
// twice as long as the one before, for scrapers that read text, and native ones (exponential,
// a tenth longer each) for those that ask for protobuf, as Prometheus does with native
// histograms turned on.
package histogram

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// factor is how much longer a native bucket is than the one before, at most.
	factor = 1.1
	// mostBuckets bounds the native buckets of one histogram. With more, it begins anew, at
	// most once in resetAfter, and else becomes coarser. 160 hold five orders of magnitude.
	mostBuckets = 160
	resetAfter  = time.Hour
)

// Seconds returns the options of a histogram of times from least to most: the last classic
// bucket ends at most or above.
func Seconds(name, help string, least, most time.Duration) prometheus.HistogramOpts {
	n := 1
	for d := least; d < most; d *= 2 {
		n++
	}
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(least.Seconds(), 2, n),
		NativeHistogramBucketFactor: factor, NativeHistogramMaxBucketNumber: mostBuckets, NativeHistogramMinResetDuration: resetAfter}
}
