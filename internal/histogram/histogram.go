// Package histogram defines the buckets of all time histograms: classic buckets, each twice as
// long as the previous one, for scrapers of the text format, and native ones (exponential,
// growing by a tenth) for scrapers that ask for protobuf, as Prometheus does with native
// histograms enabled.
package histogram

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// factor is the maximum growth from one native bucket to the next.
	factor = 1.1
	// mostBuckets limits the native buckets of one histogram. Beyond it the histogram is reset,
	// at most once per resetAfter, and otherwise becomes coarser. 160 buckets cover five orders
	// of magnitude.
	mostBuckets = 160
	resetAfter  = time.Hour
)

// Seconds returns the options of a histogram of times from least to most: the last classic
// bucket ends at or above most.
func Seconds(name, help string, least, most time.Duration) prometheus.HistogramOpts {
	n := 1
	for d := least; d < most; d *= 2 {
		n++
	}
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(least.Seconds(), 2, n),
		NativeHistogramBucketFactor: factor, NativeHistogramMaxBucketNumber: mostBuckets, NativeHistogramMinResetDuration: resetAfter}
}
