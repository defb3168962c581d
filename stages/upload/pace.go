package upload

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// paceFactor is how much faster than records come they are uploaded. An upload as
	// fast as it goes takes processor, disk and network from producers for a moment;
	// one three times as fast as they write takes a third of the time, at a third of
	// the cost to their latency, and still cannot fall behind.
	paceFactor = 3
	// paceFloor keeps what came before a pause from taking long.
	paceFloor = 32 << 20 // bytes a second
	// paceMemory is over what time the rate at which records come is a mean: short, so
	// that a backlog does not go on as fast as it goes when those who made it are done.
	paceMemory = 300 * time.Millisecond
	paceSample = 50 * time.Millisecond
	// paceLifted is for how long it is lifted when there is a reason to hurry, which
	// comes again while it lasts.
	paceLifted = time.Second
	// paceBurst is what may be read at once, in time: sleeps are a millisecond or two
	// too long, which must not add up.
	paceBurst = 50 * time.Millisecond
	// paceStep is read at a time.
	paceStep = 256 << 10
)

// pace is how fast uploads read. It follows the rate at which records come. Safe for
// concurrent use.
type pace struct {
	limiter *rate.Limiter // of those who read

	mu      sync.Mutex
	came    int64 // bytes since the sample
	sampled time.Time
	rate    float64   // bytes a second that come
	lifted  time.Time // until when
}

// newPace returns a pace that is lifted until records come.
func newPace() *pace { return &pace{limiter: rate.NewLimiter(rate.Inf, paceStep)} }

// note tells that so many bytes came.
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

// lift lets uploads go as fast as they can for a while.
func (p *pace) lift(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lifted = now.Add(paceLifted)
	p.limiter.SetLimit(rate.Inf)
}

// reader returns r at this pace.
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
	if n == 0 || err != nil {
		return n, err
	}
	return n, r.pace.limiter.WaitN(r.ctx, n)
}
