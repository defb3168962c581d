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

// pool runs handlers that may wait for the metadata quorum or for storage, off the connections'
// read goroutines. It limits how many run at once, shares the slots between connections and
// addresses, and on close waits for all of them.
type pool struct {
	slots *pipeline.Budget // slotBytes each
	log   *slog.Logger

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newPool(slots int, log *slog.Logger) *pool {
	// pipeline.Budget reserves a sixteenth for small claims, which a slot is not, and a holder
	// above its share must leave a quarter free; hence the extra sixteenth, and a holder that
	// has the only slot.
	return &pool{slots: pipeline.NewBudget(max(int64(slots)*(slotBytes+slotBytes/15), slotBytes*3/2)), log: log}
}

// slotBytes is the claim of one slot in the budget.
const slotBytes = 15 << 16

// run calls f on a new goroutine once a slot is free for who. Until then the caller blocks,
// which holds back a connection that asks for too much. It returns false, without calling f, if
// ctx ends first or after close.
func (c *pool) run(ctx context.Context, who pipeline.Holder, f func()) bool {
	claim := c.slots.Claim(who, slotBytes)
	if err := claim.Grow(ctx, slotBytes); err != nil {
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

// close waits for everything that runs; later calls of run return false.
func (c *pool) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
}

// serve replies with the result of f, which runs in a slot. If f panics, the connection is
// closed and the broker keeps running.
func (c *pool) serve(ctx context.Context, r *Request, reply func(Response), f func() kmsg.Response) {
	c.respond(ctx, r, reply, func() Response { return Response{Message: f()} })
}

// respond is serve for responses of any form.
func (c *pool) respond(ctx context.Context, r *Request, reply func(Response), f func() Response) {
	r.Leave()
	ran := c.run(ctx, r.Who, func() {
		answer := Response{Silent: true, Close: true}
		defer func() {
			if p := recover(); p != nil {
				c.log.Error("handler panicked; closing its connection", "panic", p, "stack", string(debug.Stack()))
			}
			reply(answer)
		}()
		answer = f()
	})
	if !ran {
		reply(Response{Silent: true, Close: true})
	}
}

// changeFunc serves a request that changes something, within ctx's deadline.
type changeFunc func(ctx context.Context, r *Request) kmsg.Response

// change runs f in a slot, limited by the request's timeout, or by ChangeTimeout if that is
// shorter or the request has none.
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

// handlerOf adapts a function to Handler.
type handlerOf func(ctx context.Context, r *Request, reply func(Response))

func (f handlerOf) Serve(ctx context.Context, r *Request, reply func(Response)) { f(ctx, r, reply) }
