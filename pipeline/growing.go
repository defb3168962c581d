package pipeline

import "math/bits"

// growing tracks the claims of a tier that have started and are incomplete, by
// the bytes they still need, in four classes per power of two.
//
// All of them can complete if there is an order in which each finds what it needs
// in the free bytes plus what those before it returned. If any such order exists,
// "least need first" is one. Within a class the claims can complete one after
// another as soon as the class's upper bound is free, so only classes need to be
// checked. A class with a single claim is judged by its exact need, so that a
// lone claim is never refused bytes that are free.
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

// classOf returns the class of a claim that still needs n bytes.
func classOf(n int64) int {
	if n <= smallestNeed {
		return 0
	}
	shift := bits.Len64(uint64(n-1)) - 3 // n-1 keeps its top three bits
	steps := (n-1)>>shift + 1            // 5 to 8 quarters of the power of two below n
	return 4*(shift-10) + int(steps) - 4
}

// classBound is the largest need in a class.
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
		return // not started, or complete
	}
	k := &g.classes[classOf(need)]
	k.claims += int(sign)
	k.held += sign * c.held
	k.need += sign * need
}

// completes reports whether all claims can still complete once c has grown to to
// and free bytes are left: either c first and then the others, or all by need.
// The former always holds for a claim that could have gone first before the
// grant, whatever the class bounds.
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

// inOrder reports whether all can complete in order of need.
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
