package compact

import (
	"context"
	"io"
	"sync"

	"golang.org/x/time/rate"
)

// throttle is the bandwidth limit shared by all of compaction, and its off
// switch.
type throttle struct {
	bucket *rate.Limiter

	mu  sync.Mutex
	off chan struct{} // closed on resume; nil while running
}

// quantum is the number of bytes taken from the bucket at a time.
const quantum = 64 << 10

func newThrottle(bytesPerSecond int64, paused bool) *throttle {
	t := &throttle{bucket: rate.NewLimiter(rate.Limit(bytesPerSecond), quantum)}
	t.pause(paused)
	return t
}

func (t *throttle) set(bytesPerSecond int64) { t.bucket.SetLimit(rate.Limit(bytesPerSecond)) }

func (t *throttle) pause(off bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case off && t.off == nil:
		t.off = make(chan struct{})
	case !off && t.off != nil:
		close(t.off)
		t.off = nil
	}
}

func (t *throttle) paused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.off != nil
}

// awake waits until compaction is not paused.
func (t *throttle) awake(ctx context.Context) error {
	t.mu.Lock()
	off := t.off
	t.mu.Unlock()
	if off == nil {
		return ctx.Err()
	}
	select {
	case <-off:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take waits until n bytes may be transferred.
func (t *throttle) take(ctx context.Context, n int64) error {
	for n > 0 {
		if err := t.awake(ctx); err != nil {
			return err
		}
		step := min(n, quantum)
		if err := t.bucket.WaitN(ctx, int(step)); err != nil {
			return err
		}
		n -= step
	}
	return nil
}

// reader returns r limited to the bandwidth.
func (t *throttle) reader(ctx context.Context, r io.ReadCloser) io.ReadCloser {
	return &throttled{r, ctx, t}
}

type throttled struct {
	io.ReadCloser
	ctx      context.Context
	throttle *throttle
}

func (r *throttled) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), quantum)])
	if n == 0 || err != nil {
		return n, err
	}
	return n, r.throttle.take(r.ctx, int64(n))
}
