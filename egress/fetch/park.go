package fetch

import (
	"context"
	"net"
	"runtime/debug"
	"time"
)

// run goes on with a poll until it is answered or has to wait again.
func (p *poll) run(step func() (body net.Buffers, release func(), over bool)) {
	var body net.Buffers
	var release func()
	over := true
	defer func() {
		if v := recover(); v != nil {
			p.deps.Log.Error("a fetch panicked; its connection is closed", "panic", v, "stack", string(debug.Stack()))
		}
		if over {
			p.finish(body, release)
		}
	}()
	body, release, over = step()
}

// again runs it after it was parked.
func (p *poll) again() { p.run(p.proceed) }

// over says whether the client is to be answered now, with whatever there is.
func (p *poll) over() bool {
	p.mu.Lock()
	hurried := p.hurried
	p.mu.Unlock()
	return hurried || p.ctx.Err() != nil || p.life.Err() != nil || !time.Now().Before(p.until)
}

// park has the poll wait without a goroutine until it is worth another look. False
// means that it is already; after true the poll is somebody else's.
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

// arm has the poll told when it is worth another look. Over all partitions together it
// is one for as many bytes as are missing, so in one of them at least their share of
// these has come by then. It returns true if something is to be looked at already.
func (p *poll) arm() (already bool) {
	share := int64(max(1, (p.enough()-p.due)/max(1, len(p.slots))))
	by := p.watcher()
	for _, s := range p.slots {
		already = s.arm(by, share) || already
	}
	return already
}

// ready looks at every partition, and says whether the client can be answered.
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

// A poll that was woken for too little rests before it looks again, so long that the
// looks of all polls together cost little, whatever they wait for.
const (
	restPerPartition = 5 * time.Microsecond // that any poll waits for
	leastRest        = time.Millisecond     // less is none
	longestRest      = 100 * time.Millisecond
)

func (p *poll) rest() time.Duration {
	d := time.Duration(p.watched.Load()+int64(len(p.slots))) * restPerPartition
	if d < leastRest {
		return 0
	}
	return min(d, longestRest)
}

// Moved implements partition.Watcher: enough has come for a look, or something changed.
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

// wake ends the wait, since its time is over or its connection.
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

// hurry has the poll answered with what there is.
func (p *poll) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurried = true
	if p.cut != nil {
		p.cut()
	}
	if p.parked {
		p.unpark()
		go p.again()
	}
}

// unpark leaves the poll to the caller. Holds mu.
func (p *poll) unpark() {
	p.parked = false
	p.metrics.waiting.Dec()
	p.watched.Add(-int64(len(p.slots)))
}

// cuttable returns a context for what the poll waits for while it runs, which ends when
// it is hurried, too.
func (p *poll) cuttable() (context.Context, func()) {
	ctx, cancel := context.WithCancel(p.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cancel
	if p.hurried {
		cancel()
	}
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cut = nil
		cancel()
	}
}

// listen has news told of moves; unlisten follows.
func (p *poll) listen() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved, p.news = false, make(chan struct{}, 1)
	return p.news
}

// heard lets the next move be told.
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
