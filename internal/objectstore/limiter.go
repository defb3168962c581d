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
//   - floor <= limit <= top; at most limit are let in, and of writes at most writeShare,
//     so that uploads which wait for bandwidth cannot hold all there is;
//   - somebody waits only while nobody of the kind fits;
//   - the limit halves at most once for all that were in flight together: a permit
//     carries the era it was given in, and only a request of the present era can end it.
//
// It grows by one after as many successes as the limit is, which is one round trip of
// a full house (additive increase, multiplicative decrease), and only while somebody
// waits or the house is at least half full: a limit that nobody reaches proves nothing.
//
// Reads go before writes, since somebody waits for them; every fairShare-th permit
// goes to a write nevertheless, since a store that is read all the time must not stop
// the WAL from being given back.
type limiter struct {
	mu            sync.Mutex
	floor, top    int
	limit         int
	inFlight      int // reads and writes
	writing       int // writes alone
	successes     int
	era           uint64
	reads, writes []chan permit // FIFO
	passedOver    int           // reads let in while a write waited
	gauge         prometheus.Gauge
	busy          prometheus.Gauge
}

const fairShare = 8

// permit is the right to have one request in flight.
type permit struct {
	era  uint64
	read bool
}

// outcome is what a request tells the limiter.
type outcome int

const (
	neutral   outcome = iota // says nothing of the store's load
	succeeded                // the store has room
	congested                // the store wants fewer
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

// abandon takes turn out of its queue, or gives back the permit that came meanwhile.
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

// release gives p back with how its request went.
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

// writeShare leaves a quarter of the limit, and one at least, to reads.
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

// letIn gives out what permits there are.
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
