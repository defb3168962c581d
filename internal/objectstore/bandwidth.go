package objectstore

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// bandwidth is a token bucket of bytes, shared by all uploads.
type bandwidth struct{ bucket *rate.Limiter }

// quantum is the number of bytes taken from the bucket at a time, and the size of
// the bucket, so that no more is sent at once.
const quantum = leastBandwidth

func newBandwidth(bytesPerSecond int64) *bandwidth {
	limit := rate.Inf
	if bytesPerSecond > 0 {
		limit = rate.Limit(bytesPerSecond)
	}
	return &bandwidth{rate.NewLimiter(limit, quantum)}
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

// Limited reports whether uploads have a bandwidth.
func (s *Store) Limited() bool { return s.bandwidth.bucket.Limit() != rate.Inf }
