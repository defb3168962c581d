package kafka

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

// crew runs what may wait for the metadata quorum or for storage, so that a
// connection's read goroutine does not. It bounds how much runs at once, shares its
// places between connections and addresses, and waits for all at the end.
type crew struct {
	places *pipeline.Budget // of place bytes each
	log    *slog.Logger

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newCrew(places int, log *slog.Logger) *crew {
	// A sixteenth of a budget is kept for small claims, which a place is none of, and
	// who has more than a share leaves a quarter; who has one place of few has that.
	return &crew{places: pipeline.NewBudget(max(int64(places)*(place+place/15), place*3/2)), log: log}
}

// place is what a place counts in the budget.
const place = 15 << 16

// run calls f on a goroutine of its own, once there is a place for who; until then the
// caller waits, which holds back the connection that asks for too much. It
// reports false, and does not call f, when ctx ended first or after close.
func (c *crew) run(ctx context.Context, who pipeline.Holder, f func()) bool {
	claim := c.places.Claim(who, place)
	if err := claim.Grow(ctx, place); err != nil {
		claim.Release()
		return false
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		claim.Release()
		return false
	}
	c.running.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.running.Done()
		defer claim.Release()
		f()
	}()
	return true
}

// close waits for everything that runs; run refuses from now on.
func (c *crew) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
}

// serve answers with what f returns, from a goroutine of the crew. A panic of f
// closes the connection and leaves the broker running.
func (c *crew) serve(ctx context.Context, r *Request, reply func(Response), f func() kmsg.Response) {
	r.Leave()
	ran := c.run(ctx, r.Who, func() {
		answer := Response{Silent: true, Close: true}
		defer func() {
			if p := recover(); p != nil {
				c.log.Error("a handler panicked; its connection is closed", "panic", p, "stack", string(debug.Stack()))
			}
			reply(answer)
		}()
		answer = Response{Message: f()}
	})
	if !ran {
		reply(Response{Silent: true, Close: true})
	}
}

// changeFunc answers a request that changes something, within ctx's deadline.
type changeFunc func(ctx context.Context, r *Request) kmsg.Response

// change serves f on the crew, bounded by the time the client gives, or by
// ChangeTimeout where that is shorter or the client gives none.
func (h *Handlers) change(f changeFunc) Handler {
	return h.atMost(h.cfg.RequestChanges, handlerOf(func(ctx context.Context, r *Request, reply func(Response)) {
		h.changes.serve(ctx, r, reply, func() kmsg.Response {
			ctx, cancel := context.WithTimeout(ctx, timeout(r.Body, h.cfg.ChangeTimeout))
			defer cancel()
			return f(ctx, r)
		})
	}))
}

func timeout(req kmsg.Request, longest time.Duration) time.Duration {
	if t, ok := req.(kmsg.TimeoutRequest); ok && t.Timeout() > 0 {
		return min(longest, time.Duration(t.Timeout())*time.Millisecond)
	}
	return longest
}

// handlerOf is a Handler made of a function.
type handlerOf func(ctx context.Context, r *Request, reply func(Response))

func (f handlerOf) Serve(ctx context.Context, r *Request, reply func(Response)) { f(ctx, r, reply) }
