package pipeline

import (
	"context"
	"slices"
	"sync"
)

// workerSet is the set of workers of a node: one per lane, or an adjustable number on
// a single edge.
type workerSet[T any] struct {
	node   *node
	queues []*queue[T] // one per lane, or one for all workers
	body   func(context.Context, *In[T]) error

	mu     sync.Mutex
	want   int // desired number of workers; fixed with lanes
	made   int // workers ever started; numbers them
	active []*In[T]
	begun  bool
	done   chan struct{} // created when begun, closed when the last worker has returned
}

// run starts the workers and waits for them.
func (c *workerSet[T]) run() {
	c.mu.Lock()
	c.begun = true
	c.done = make(chan struct{})
	done := c.done
	c.adjust()
	c.mu.Unlock()
	<-done
}

// resize sets the number of workers, at least 1. Surplus workers finish what they
// hold; resize does not wait for them.
func (c *workerSet[T]) resize(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want = n
	if c.begun && len(c.active) > 0 {
		c.adjust()
	}
}

func (c *workerSet[T]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.want
}

// adjust starts or retires workers to match want. Retired workers no longer
// count, although they may still be running. Holds c.mu.
func (c *workerSet[T]) adjust() {
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

func (c *workerSet[T]) worker(in *In[T]) {
	defer c.returned(in) // even by runtime.Goexit
	c.node.guard(func() error {
		err := c.body(c.node.g.life.hard, in)
		if err == nil && c.node.g.life.cause() == nil && !in.isRetired() && !in.q.drained() {
			err = ErrEarlyReturn
		}
		return err
	})
}

func (c *workerSet[T]) returned(in *In[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = slices.DeleteFunc(c.active, func(a *In[T]) bool { return a == in })
	if len(c.active) == 0 {
		close(c.done)
	}
}
