package pipeline

import (
	"context"
	"slices"
	"sync"
)

// crew is the workers of a node: one per lane, or any number on one edge, which
// may be changed while they run.
type crew[T any] struct {
	node   *node
	queues []*queue[T] // one per lane, or one for all workers
	body   func(context.Context, *In[T]) error

	mu     sync.Mutex
	want   int // workers there should be; fixed with lanes
	made   int // workers ever started, to number them
	active []*In[T]
	begun  bool
	done   chan struct{} // made when begun, closed when the last worker returned
}

// run starts the workers and waits for them.
func (c *crew[T]) run() {
	c.mu.Lock()
	c.begun = true
	c.done = make(chan struct{})
	done := c.done
	c.adjust()
	c.mu.Unlock()
	<-done
}

// resize sets the number of workers, at least 1. Those too many finish what they
// have in hand; resize does not wait for that.
func (c *crew[T]) resize(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want = n
	if c.begun && len(c.active) > 0 {
		c.adjust()
	}
}

func (c *crew[T]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.want
}

// adjust starts or retires workers until there are as many as wanted. Those
// retired no longer count although they may still run. Holds c.mu.
func (c *crew[T]) adjust() {
	staying := 0
	for _, in := range c.active {
		if !in.isRetired() {
			staying++
		}
	}
	for ; staying < c.want; staying++ {
		in := &In[T]{q: c.queues[c.made%len(c.queues)], lane: c.made, retired: make(chan struct{})}
		c.made++
		c.active = append(c.active, in)
		go c.worker(in)
	}
	for i := len(c.active) - 1; staying > c.want; i-- {
		if in := c.active[i]; !in.isRetired() {
			close(in.retired)
			staying--
		}
	}
}

func (c *crew[T]) worker(in *In[T]) {
	defer c.returned(in) // even by runtime.Goexit
	c.node.guard(func() error {
		err := c.body(c.node.g.life.hard, in)
		if err == nil && c.node.g.life.cause() == nil && !in.isRetired() && !in.q.drained() {
			err = ErrEarlyReturn
		}
		return err
	})
}

func (c *crew[T]) returned(in *In[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = slices.DeleteFunc(c.active, func(a *In[T]) bool { return a == in })
	if len(c.active) == 0 {
		close(c.done)
	}
}
