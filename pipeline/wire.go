package pipeline

import (
	"context"
	"fmt"
)

// Port is the typed output of a node. Exactly one reader must be attached to it.
type Port[T any] struct {
	g    *Graph
	bind func(target[T]) // attaches the reader
}

// target is where an emit goes: an edge, or a junction with several.
type target[T any] interface {
	push(ctx context.Context, by *node, p Parcel[T]) error
	open(by *node, through []string) error // ErrWiring: a port has no reader
	close()
}

// socket holds the single target of a port. It is bound during wiring, before any
// goroutine runs.
type socket[T any] struct {
	g     *Graph
	owner string
	to    target[T]
}

func (s *socket[T]) bind(t target[T]) {
	if s.to != nil {
		s.g.miswired("the port of %s already has a reader, use Tee or Route", s.owner)
		return
	}
	s.to = t
}

func (s *socket[T]) open(by *node, through []string) error {
	if s.to == nil {
		return fmt.Errorf("%w: the port of %s has no reader", ErrWiring, s.owner)
	}
	return s.to.open(by, through)
}

// output is the output of a node.
type output[T any] struct {
	socket[T]
	node *node
}

func newOutput[T any](n *node) (*output[T], Port[T]) {
	o := &output[T]{socket[T]{g: n.g, owner: n.name}, n}
	n.out = o
	return o, Port[T]{n.g, o.bind}
}

func (o *output[T]) emit(ctx context.Context, p Parcel[T]) error { return o.to.push(ctx, o.node, p) }

func (o *output[T]) connect() error { return o.open(o.node, nil) }

func (o *output[T]) close() { o.to.close() }

// From adds a source.
func From[T any](g *Graph, name string, s Source[T]) Port[T] {
	n := g.add(name, "source", s)
	n.source = true
	o, port := newOutput[T](n)
	n.run = func() { n.guard(func() error { return s.Run(g.life.soft, o.emit) }) }
	return port
}

// Via adds a stage that reads p.
func Via[I, O any](p Port[I], name string, s Stage[I, O], opts ...Option) Port[O] {
	n := p.g.add(name, "stage", s)
	o, port := newOutput[O](n)
	read(n, p, opts, func(ctx context.Context, in *In[I]) error { return s.Run(ctx, in, o.emit) })
	return port
}

// Into adds a sink that reads p.
func Into[T any](p Port[T], name string, s Sink[T], opts ...Option) {
	read(p.g.add(name, "sink", s), p, opts, s.Run)
}

// read attaches n to p as its reader.
func read[T any](n *node, p Port[T], opts []Option, body func(context.Context, *In[T]) error) {
	cfg := configure(opts)
	if cfg.lanes > 0 && cfg.workers > 1 {
		n.g.miswired("%s has both lanes and workers", n.name)
	}
	c := &workerSet[T]{node: n, body: body, want: max(cfg.workers, cfg.lanes)}
	for range max(cfg.lanes, 1) {
		q := newQueue[T](n.g.life, cfg.depth)
		c.queues = append(c.queues, q)
		n.inputs = append(n.inputs, q)
	}
	if cfg.many && cfg.lanes == 0 {
		n.adjust = c
	}
	if n.laned = cfg.lanes > 0; !n.laned {
		p.bind(c.queues[0])
	} else {
		key, ok := cfg.key.(func(T) uint64)
		if !ok {
			n.g.miswired("the lane key of %s is a %T", n.name, cfg.key)
		}
		p.bind(&lanes[T]{c.queues, key})
	}
	n.run = c.run
	n.drain = func() { drainInputs(n, c.queues) }
}
