package upload

import (
	"context"
	"io"
	"math"
	"time"

	"golang.org/x/time/rate"
)

const (
	// paceFactor is how much faster than a cut was filled it is uploaded. An upload as
	// fast as it goes takes processor, disk and network from producers for a moment;
	// one three times as fast as they write takes a third of the time, at a third of
	// the cost to their latency, and still cannot fall behind.
	paceFactor = 3
	// paceFloor keeps a cut that was filled slowly, then all at once, from taking long.
	paceFloor = 32 << 20 // bytes a second
	// paceBurst is what may be read at once, in time: sleeps are a millisecond or two
	// too long, which must not add up.
	paceBurst = 50 * time.Millisecond
	// paceStep is read at a time.
	paceStep = 256 << 10
)

// pace is how fast a cut is read for its upload. It is lifted when there is a reason
// to hurry. Safe for concurrent use.
type pace struct{ *rate.Limiter }

// newPace returns the pace of so many bytes that took so long to come.
func newPace(bytes int64, filled time.Duration) *pace {
	perSecond := math.Inf(1)
	if filled > 0 {
		perSecond = max(paceFloor, paceFactor*float64(bytes)/filled.Seconds())
	}
	burst := paceStep
	if !math.IsInf(perSecond, 1) {
		burst = max(paceStep, int(perSecond*paceBurst.Seconds()))
	}
	return &pace{rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// lift ends it. The zero pace is lifted.
func (p *pace) lift() {
	if p != nil {
		p.SetLimit(rate.Inf)
	}
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
	return n, r.pace.WaitN(r.ctx, n)
}
