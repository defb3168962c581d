package fetch

import (
	"context"
	"net"
	"runtime/debug"
	"time"
)

// run continues a poll until it is answered or has to wait again.
func (p *poll) run(step func() (body net.Buffers, release func(), over bool)) {
	var body net.Buffers
	var release func()
	over := true
	defer func() {
		if v := recover(); v != nil {
			p.deps.Log.Error("fetch panicked; closing its connection", "panic", v, "stack", string(debug.Stack()))
		}
		if over {
			p.finish(body, release)
		}
	}()
	body, release, over = step()
}

// again continues a poll that was parked.
func (p *poll) again() { p.run(p.proceed) }

// over reports whether the client must be answered now, with whatever is available.
func (p *poll) over() bool {
	p.mu.Lock()
	hurried := p.hurried
	p.mu.Unlock()
	return hurried || p.ctx.Err() != nil || p.life.Err() != nil || !time.Now().Before(p.until)
}

// park makes the poll wait without a goroutine until another scan is worthwhile. It returns
// false if one is worthwhile now; after true, the caller must not touch the poll.
func (p *poll) park() bool {
	p.view, p.answers = nil, nil
	moved := p.arm()
	p.mu.Lock()
	defer p.mu.Unlock()
	now, at := time.Now(), p.until
	if p.hurried {
		return false
	}
	if moved || p.moved {
		if !now.Before(p.rested) {
			return false
		}
		p.moved, at = true, earlier(p.rested, p.until)
	}
	p.parked = true
	p.metrics.waiting.Inc()
	p.watched.Add(int64(len(p.slots)))
	if p.timer == nil {
		p.timer = time.AfterFunc(at.Sub(now), p.wake)
		p.stop = context.AfterFunc(p.ctx, p.wake)
	} else {
		p.timer.Reset(at.Sub(now))
	}
	return true
}

// arm registers the poll with its partitions for wake-up. If the partitions together have
// received the missing bytes, at least one of them has received its share, so each watch fires
// at that share. It returns true if a scan is already worthwhile.
func (p *poll) arm() (already bool) {
	share := int64(max(1, (p.enough()-p.due)/max(1, len(p.slots))))
	by := p.watcher()
	for _, s := range p.slots {
		already = s.arm(by, share) || already
	}
	return already
}

// ready scans every partition and reports whether the client can be answered.
func (p *poll) ready() bool {
	p.mu.Lock()
	woken := p.moved
	p.moved = false
	p.mu.Unlock()
	if p.scan() {
		return true
	}
	if woken {
		p.rested = time.Now().Add(p.rest())
	}
	return false
}

// A poll that was woken for too little rests before its next scan, long enough that the scans
// of all polls together stay cheap.
const (
	restPerPartition = 5 * time.Microsecond // per partition of all parked polls
	leastRest        = time.Millisecond     // shorter rests are skipped
	longestRest      = 100 * time.Millisecond
)

func (p *poll) rest() time.Duration {
	d := time.Duration(p.watched.Load()+int64(len(p.slots))) * restPerPartition
	if d < leastRest {
		return 0
	}
	return min(d, longestRest)
}

// Moved implements partition.Watcher: enough bytes have arrived, or something else changed.
func (p *poll) Moved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved {
		return
	}
	p.moved = true
	if p.news != nil {
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
	if !p.parked {
		return
	}
	if left := time.Until(p.rested); left > 0 {
		p.timer.Reset(min(left, time.Until(p.until)))
		return
	}
	p.unpark()
	go p.again()
}

// wake ends the wait because of a timeout or the end of the connection.
func (p *poll) wake() {
	p.mu.Lock()
	if !p.parked {
		p.mu.Unlock()
		return
	}
	p.unpark()
	p.mu.Unlock()
	p.again()
}

// hurry makes the poll answer with what is available.
func (p *poll) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurried = true
	if p.cancel != nil {
		p.cancel()
	}
	if p.parked {
		p.unpark()
		go p.again()
	}
}

// unpark gives the poll to the caller. Holds mu.
func (p *poll) unpark() {
	p.parked = false
	p.metrics.waiting.Dec()
	p.watched.Add(-int64(len(p.slots)))
}

// cancellable returns a context for blocking calls of a running poll, which hurry also cancels.
func (p *poll) cancellable() (context.Context, func()) {
	ctx, cancel := context.WithCancel(p.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel = cancel
	if p.hurried {
		cancel()
	}
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cancel = nil
		cancel()
	}
}

// listen returns a channel that receives wake-ups, until unlisten.
func (p *poll) listen() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved, p.news = false, make(chan struct{}, 1)
	return p.news
}

// heard re-enables wake-ups after one was received.
func (p *poll) heard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = false
}

func (p *poll) unlisten() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.news = nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
