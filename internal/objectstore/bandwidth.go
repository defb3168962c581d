package objectstore

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// bandwidth is a token bucket of bytes, shared by all uploads.
type bandwidth struct{ bucket *rate.Limiter }

// quantum is what is taken from the bucket at a time; it is also its size, so that
// no more than that goes out at once.
const quantum = leastBandwidth

func newBandwidth(bytesPerSecond int64) *bandwidth {
	return &bandwidth{rate.NewLimiter(asLimit(bytesPerSecond), quantum)}
}

func asLimit(n int64) rate.Limit {
	if n == 0 {
		return rate.Inf
	}
	return rate.Limit(n)
}

func (b *bandwidth) set(bytesPerSecond int64) { b.bucket.SetLimit(asLimit(bytesPerSecond)) }

func (b *bandwidth) get() int64 {
	if l := b.bucket.Limit(); l != rate.Inf {
		return int64(l)
	}
	return 0
}

// read reads at most a quantum and waits until it may be sent.
func (b *bandwidth) read(ctx context.Context, r io.Reader, dst []byte) (int, error) {
	n, err := r.Read(dst[:min(len(dst), quantum)])
	if n == 0 {
		return n, err
	}
	if wait := b.bucket.WaitN(ctx, n); wait != nil {
		return n, wait
	}
	return n, err
}
