package pipeline

import (
	"context"
	"fmt"
	"slices"
)

// Merge combines one or more ports into one: parcels of the same port keep their
// order, parcels of different ports interleave. It is not a node; name labels the
// edges in [Topology].
func Merge[T any](name string, ports ...Port[T]) Port[T] {
	g := ports[0].g
	g.reserve(name)
	s := &socket[T]{g: g, owner: name}
	j := &junction[T]{name: name, sockets: []*socket[T]{s}}
	for _, p := range ports {
		p.bind(merge[T]{j})
	}
	return Port[T]{g, s.bind}
}

// Tee copies each parcel to n ports and splits its receipt between them: it
// settles when all n copies have. Bodies are shared and read-only from here on.
// Once its edge is full, the slowest branch holds up the others.
func Tee[T any](p Port[T], name string, n int) []Port[T] {
	j, ports := branch(p, name, n)
	p.bind(tee[T]{j})
	return ports
}

// Route sends each parcel to one of n ports, whose index from 0 to n-1 pick
// returns; any other index is a bug and panics. pick runs on the emitting
// goroutine, so it must be quick and safe for concurrent use.
func Route[T any](p Port[T], name string, n int, pick func(T) int) []Port[T] {
	j, ports := branch(p, name, n)
	p.bind(route[T]{j, pick})
	return ports
}

func branch[T any](p Port[T], name string, n int) (*junction[T], []Port[T]) {
	if n < 1 {
		p.g.miswired("%s has no branches", name)
	}
	p.g.reserve(name)
	j := &junction[T]{name: name}
	ports := make([]Port[T], n)
	for i := range ports {
		s := &socket[T]{g: p.g, owner: fmt.Sprintf("%s[%d]", name, i)}
		j.sockets = append(j.sockets, s)
		ports[i] = Port[T]{p.g, s.bind}
	}
	return j, ports
}

// junction holds what Merge, Tee and Route share.
type junction[T any] struct {
	name    string
	sockets []*socket[T]
}

func (j *junction[T]) open(by *node, through []string) error {
	through = append(slices.Clone(through), j.name)
	for _, s := range j.sockets {
		if err := s.open(by, through); err != nil {
			return err
		}
	}
	return nil
}

func (j *junction[T]) close() {
	for _, s := range j.sockets {
		s.to.close()
	}
}

// Junctions run on the emitting goroutine: no queue, no hop. Like an edge they
// own the parcel from the start.

type merge[T any] struct{ *junction[T] }

func (m merge[T]) push(ctx context.Context, by *node, p Parcel[T]) error {
	return m.sockets[0].to.push(ctx, by, p)
}

type tee[T any] struct{ *junction[T] }

func (t tee[T]) push(ctx context.Context, by *node, p Parcel[T]) error {
	var err error
	for i, r := range p.Split(len(t.sockets)) { // every branch gets its copy or its nack
		if e := t.sockets[i].to.push(ctx, by, Parcel[T]{p.Body, p.Size, r}); e != nil && err == nil {
			err = e
		}
	}
	return err
}

type route[T any] struct {
	*junction[T]
	pick func(T) int
}

func (r route[T]) push(ctx context.Context, by *node, p Parcel[T]) error {
	i := picked(p, r.name, r.pick)
	if i < 0 || i >= len(r.sockets) {
		err := fmt.Errorf("route %s picked branch %d of %d", r.name, i, len(r.sockets))
		p.Settle(err)
		panic(err)
	}
	return r.sockets[i].to.push(ctx, by, p)
}

// lanes is the junction before a node with lanes.
type lanes[T any] struct {
	queues []*queue[T]
	key    func(T) uint64
}

func (l *lanes[T]) push(ctx context.Context, by *node, p Parcel[T]) error {
	key := picked(p, "lane key", l.key)
	return l.queues[LaneOf(key, len(l.queues))].push(ctx, by, p)
}

func (l *lanes[T]) open(by *node, through []string) error {
	for _, q := range l.queues {
		if err := q.open(by, through); err != nil {
			return err
		}
	}
	return nil
}

func (l *lanes[T]) close() {
	for _, q := range l.queues {
		q.close()
	}
}

// LaneOf returns which of lanes lanes parcels with a key go to under [Lanes].
// Code that combines items into one parcel uses it to group items of the same
// lane; the key of any item then serves for the whole parcel.
func LaneOf(key uint64, lanes int) int { return int(spread(key) % uint64(lanes)) }

// spread mixes a key so that lanes fill evenly (the splitmix64 finalizer).
func spread(k uint64) uint64 {
	k = (k ^ k>>30) * 0xbf58476d1ce4e5b9
	k = (k ^ k>>27) * 0x94d049bb133111eb
	return k ^ k>>31
}

// picked calls fn, which is user code, and nacks p if it panics.
func picked[T, R any](p Parcel[T], name string, fn func(T) R) R {
	defer func() {
		if v := recover(); v != nil {
			err := fmt.Errorf("%s: %w", name, &PanicError{Value: v})
			p.Settle(err)
			panic(err)
		}
	}()
	return fn(p.Body)
}
