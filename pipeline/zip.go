package pipeline

import (
	"context"
	"io"
)

// Zip rejoins two branches of a [Tee] after both have done their part, such as
// wal and replicate before commit. Both deliver the same dense sequence numbers
// in order, except for those that either nacked. Parcels with equal numbers are
// joined into one, with one receipt that settles both and the larger of their
// sizes.
//
// When the heads differ, the lower one lost its partner to a nack and is nacked
// with [ErrPartnerFailed]. So is a parcel whose partner is nacked while it waits,
// and whatever is left when the other branch has closed.
func Zip[A, B, O any](a Port[A], b Port[B], name string, seqA func(A) uint64, seqB func(B) uint64,
	join func(A, B) O, opts ...Option) Port[O] {
	n := a.g.add(name, "zip", nil)
	o, port := newOutput[O](n)
	cfg := configure(opts)
	if cfg.workers > 1 || cfg.lanes > 0 {
		n.g.miswired("%s is a zip: it has one worker", name)
	}
	qa, qb := newQueue[A](n.g.life, cfg.depth), newQueue[B](n.g.life, cfg.depth)
	n.inputs = []input{qa, qb}
	a.bind(qa)
	b.bind(qb)
	z := &zip[A, B, O]{a: half[A]{in: &In[A]{q: qa}, seq: seqA}, b: half[B]{in: &In[B]{q: qb}, seq: seqB},
		join: join, out: o.emit}
	n.run = func() { n.guard(func() error { return z.run(n.g.life.hard) }) }
	n.drain = func() {
		drainInputs(n, []*queue[A]{qa})
		drainInputs(n, []*queue[B]{qb})
	}
	return port
}

type zip[A, B, O any] struct {
	a    half[A]
	b    half[B]
	join func(A, B) O
	out  Emit[O]
}

// half is one input of a zip and the parcel at its head.
type half[T any] struct {
	in   *In[T]
	seq  func(T) uint64
	head [1]Parcel[T]
	has  bool
	n    uint64 // sequence number of head
	eof  bool
}

func (z *zip[A, B, O]) run(ctx context.Context) error {
	for {
		if err := z.a.fill(); err != nil {
			return err
		}
		if err := z.b.fill(); err != nil {
			return err
		}
		switch {
		case z.a.has && z.b.has && z.a.n == z.b.n:
			if err := z.pair(ctx); err != nil {
				return err
			}
		case z.a.has && (z.b.eof || z.b.has && z.a.n < z.b.n):
			z.a.drop()
		case z.b.has && (z.a.eof || z.a.has && z.b.n < z.a.n):
			z.b.drop()
		case z.a.eof && z.b.eof:
			return nil
		default:
			if err := z.wait(ctx); err != nil {
				return err
			}
		}
	}
}

func (z *zip[A, B, O]) pair(ctx context.Context) error {
	a, b := z.a.pop(), z.b.pop()
	return z.out(ctx, Parcel[O]{z.join(a.Body, b.Body), max(a.Size, b.Size), Join(a.Receipt, b.Receipt)})
}

// wait blocks until a missing head may have arrived, or the present head turns
// out to have no partner.
func (z *zip[A, B, O]) wait(ctx context.Context) error {
	readyA, lostA := z.a.watch()
	readyB, lostB := z.b.watch()
	select {
	case <-readyA:
	case <-readyB:
	case <-lostA:
		z.a.drop()
	case <-lostB:
		z.b.drop()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// fill takes the next parcel if there is no head.
func (h *half[T]) fill() error {
	if h.has || h.eof {
		return nil
	}
	n, err := h.in.TryRecvBatch(h.head[:])
	if err == io.EOF {
		h.eof = true
		return nil
	}
	if n == 1 {
		h.has, h.n = true, h.seq(h.head[0].Body)
	}
	return err
}

func (h *half[T]) pop() Parcel[T] {
	p := h.head[0]
	h.head[0], h.has = Parcel[T]{}, false
	return p
}

func (h *half[T]) drop() { h.pop().Settle(ErrPartnerFailed) }

// watch returns what to wait for: the next parcel, or the loss of this one's
// partner.
func (h *half[T]) watch() (ready, lost <-chan struct{}) {
	switch {
	case h.has:
		return nil, h.head[0].siblingFailed()
	case h.eof:
		return nil, nil
	default:
		return h.in.Ready(), nil
	}
}
