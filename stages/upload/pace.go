package upload

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// paceFactor is how much faster than records arrive they are uploaded. An upload
	// at full speed takes processor, disk and network from producers for a moment;
	// one at three times their rate takes a third of the time, at a third of the
	// cost to their latency, and still cannot fall behind.
	paceFactor = 3
	// paceFloor keeps a backlog from before a pause from taking long.
	paceFloor = 32 << 20 // bytes a second
	// paceMemory is the averaging window of the arrival rate: short, so that a
	// backlog does not keep going at full speed after its producers have stopped.
	paceMemory = 300 * time.Millisecond
	paceSample = 50 * time.Millisecond
	// paceLifted is how long a reason to hurry lifts the pace; the reason recurs
	// while it lasts.
	paceLifted = time.Second
	// paceBurst is the burst, in time: sleeps are a millisecond or two too long,
	// which must not add up.
	paceBurst = 50 * time.Millisecond
	// paceStep is the size of one read.
	paceStep = 256 << 10
)

// pace limits how fast uploads read. It follows the rate at which records arrive.
// Safe for concurrent use.
type pace struct {
	limiter *rate.Limiter // shared by all readers
	sent    atomic.Int64  // bytes that were read

	mu      sync.Mutex
	came    int64 // bytes since the last sample
	sampled time.Time
	rate    float64   // arrival rate in bytes per second
	lifted  time.Time // until when

	sentBefore int64 // at the last sample of sent
	sentAt     time.Time
	sentRate   float64 // bytes a second
}

// newPace returns a pace that is unlimited until records arrive.
func newPace() *pace { return &pace{limiter: rate.NewLimiter(rate.Inf, paceStep)} }

// note records that bytes have arrived.
func (p *pace) note(now time.Time, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sampled.IsZero() {
		p.sampled = now
	}
	p.came += bytes
	passed := now.Sub(p.sampled)
	if passed < paceSample {
		return
	}
	p.rate += (float64(p.came)/passed.Seconds() - p.rate) * min(1, float64(passed)/float64(paceMemory))
	p.came, p.sampled = 0, now
	if now.Before(p.lifted) {
		return
	}
	perSecond := max(paceFloor, paceFactor*p.rate)
	p.limiter.SetBurst(max(paceStep, int(perSecond*paceBurst.Seconds())))
	p.limiter.SetLimit(rate.Limit(perSecond))
}

// lift removes the limit for a while.
func (p *pace) lift(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lifted = now.Add(paceLifted)
	p.limiter.SetLimit(rate.Inf)
}

// reader returns r limited to this pace.
func (p *pace) reader(ctx context.Context, r io.ReadCloser) io.ReadCloser {
	if p == nil {
		return r
	}
	return &paced{r, ctx, p}
}

type paced struct {
	io.ReadCloser
	ctx  context.Context
	pace *pace
}

func (r *paced) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), paceStep)])
	r.pace.sent.Add(int64(n))
	if n == 0 || err != nil {
		return n, err
	}
	return n, r.pace.limiter.WaitN(r.ctx, n)
}
