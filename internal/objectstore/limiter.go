package objectstore

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// limiter bounds the requests in flight.
//
// Invariants, under mu:
//
//   - floor <= limit <= top; at most limit requests are admitted, of which at most
//     writeShare are writes, so that uploads waiting for bandwidth cannot use up
//     the limit;
//   - requests wait only while none of their kind fits;
//   - the limit halves at most once for all requests that were in flight together:
//     a permit carries the era it was granted in, and only a request of the current
//     era can end that era.
//
// It grows by one after as many successes as the limit, which is one round trip
// at full load (additive increase, multiplicative decrease), and only while
// requests wait or at least half of the limit is in use: success below that
// proves nothing.
//
// Reads have priority, since somebody waits for them; but every fairShare-th
// permit goes to a write, since constant reads must not keep the WAL from being
// reclaimed.
type limiter struct {
	mu            sync.Mutex
	floor, top    int
	limit         int
	inFlight      int // reads and writes
	writing       int // writes alone
	successes     int
	era           uint64
	reads, writes []chan permit // FIFO
	passedOver    int           // reads admitted while a write waited
	gauge         prometheus.Gauge
	busy          prometheus.Gauge
}

const fairShare = 8

// permit is the right to have one request in flight.
type permit struct {
	era  uint64
	read bool
}

// outcome is what a request reports to the limiter.
type outcome int

const (
	neutral   outcome = iota // says nothing about the store's load
	succeeded                // the store has capacity
	congested                // the store wants fewer requests
)

func newLimiter(floor, top int, m *metrics) *limiter {
	l := &limiter{floor: floor, top: top, limit: top, gauge: m.limit, busy: m.inFlight}
	l.gauge.Set(float64(top))
	return l
}

// acquire waits for a permit. It fails only with ctx.
func (l *limiter) acquire(ctx context.Context, read bool) (permit, error) {
	if err := context.Cause(ctx); err != nil {
		return permit{}, err
	}
	l.mu.Lock()
	if l.fits(read) {
		p := l.admit(read)
		l.mu.Unlock()
		return p, nil
	}
	turn := make(chan permit, 1)
	queue := l.queue(read)
	*queue = append(*queue, turn)
	l.mu.Unlock()
	select {
	case p := <-turn:
		return p, nil
	case <-ctx.Done():
		l.abandon(turn, read)
		return permit{}, context.Cause(ctx)
	}
}

// abandon removes turn from its queue, or releases the permit that arrived in the
// meantime.
func (l *limiter) abandon(turn chan permit, read bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.queue(read)
	for i, t := range *queue {
		if t == turn {
			*queue = append((*queue)[:i], (*queue)[i+1:]...)
			return
		}
	}
	l.leave(<-turn)
}

// release returns p and reports how its request went.
func (l *limiter) release(p permit, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch o {
	case congested:
		if p.era == l.era {
			l.era++
			l.successes = 0
			l.setLimit(l.limit / 2)
		}
	case succeeded:
		if waiting := len(l.reads) + len(l.writes); waiting > 0 || 2*l.inFlight >= l.limit {
			l.successes++
		}
		if l.successes >= l.limit {
			l.successes = 0
			l.setLimit(l.limit + 1)
		}
	case neutral:
	}
	l.leave(p)
}

func (l *limiter) setLimit(n int) {
	l.limit = min(max(n, l.floor), l.top)
	l.gauge.Set(float64(l.limit))
}

func (l *limiter) queue(read bool) *[]chan permit {
	if read {
		return &l.reads
	}
	return &l.writes
}

// writeShare leaves a quarter of the limit, and at least one, to reads.
func (l *limiter) writeShare() int { return max(1, l.limit-max(1, l.limit/4)) }

func (l *limiter) fits(read bool) bool {
	return l.inFlight < l.limit && (read || l.writing < l.writeShare())
}

func (l *limiter) admit(read bool) permit {
	l.inFlight++
	l.busy.Inc()
	if !read {
		l.writing++
	}
	return permit{l.era, read}
}

func (l *limiter) leave(p permit) {
	l.inFlight--
	l.busy.Dec()
	if !p.read {
		l.writing--
	}
	l.letIn()
}

// letIn grants the available permits.
func (l *limiter) letIn() {
	for {
		read := len(l.reads) > 0 && l.fits(true)
		write := len(l.writes) > 0 && l.fits(false)
		switch {
		case write && (!read || l.passedOver >= fairShare-1):
			l.passedOver = 0
			l.give(&l.writes, false)
		case read:
			if write {
				l.passedOver++
			}
			l.give(&l.reads, true)
		default:
			return
		}
	}
}

func (l *limiter) give(queue *[]chan permit, read bool) {
	turn := (*queue)[0]
	*queue = (*queue)[1:]
	turn <- l.admit(read)
}
