package pipeline

import "math/bits"

// growing knows the claims of a tier that have begun and are not complete, by how
// much they still need, in four classes for each power of two.
//
// They can all be completed if there is an order in which each finds what it needs
// in what is free and in what those before it have given back. Taking the one that
// needs least first is such an order if there is any. Within a class all can follow
// each other as soon as its bound is free, so only classes need to be looked at. A
// class with one claim is judged by what that needs, so that one alone is never
// refused what is there.
type growing struct {
	classes [needClasses]needClass
}

type needClass struct {
	claims     int
	held, need int64 // of all its claims
}

const (
	smallestNeed = 4 << 10
	needClasses  = 4*40 + 1
)

// classOf returns the class of a claim that needs n bytes more.
func classOf(n int64) int {
	if n <= smallestNeed {
		return 0
	}
	shift := bits.Len64(uint64(n-1)) - 3 // n-1 has its top three bits above it
	steps := (n-1)>>shift + 1            // 5 to 8 quarters of the power of two below n
	return 4*(shift-10) + int(steps) - 4
}

// classBound is the most that a claim of a class needs.
func classBound(class int) int64 {
	if class == 0 {
		return smallestNeed
	}
	shift, quarter := (class-1)/4, int64((class-1)%4)
	return (5 + quarter) << (shift + 10)
}

func (g *growing) add(c *Claim)    { g.count(c, 1) }
func (g *growing) remove(c *Claim) { g.count(c, -1) }

func (g *growing) count(c *Claim, sign int64) {
	need := c.total - c.held
	if c.held == 0 || need <= 0 {
		return // not begun, or complete
	}
	k := &g.classes[classOf(need)]
	k.claims += int(sign)
	k.held += sign * c.held
	k.need += sign * need
}

// completes says whether, with free bytes left after c has grown to so many, all
// can still be completed: c first and then the others, or all by what they need.
// The first is always so for one that could go first before, whatever the bounds.
func (g *growing) completes(free int64, c *Claim, to int64) bool {
	g.remove(c)
	defer g.add(c)
	if free >= c.total-to && g.inOrder(free+to) {
		return true
	}
	after := *c
	after.held = to
	g.add(&after)
	defer g.remove(&after)
	return g.inOrder(free)
}

// inOrder says whether all can be completed, those that need least first.
func (g *growing) inOrder(free int64) bool {
	for i := range g.classes {
		k := &g.classes[i]
		if k.claims == 0 {
			continue
		}
		bound := classBound(i)
		if k.claims == 1 {
			bound = k.need
		}
		if free < bound {
			return false
		}
		free += k.held
	}
	return true
}
