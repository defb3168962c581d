package pipeline

// defaultDepth is the depth of an edge without [Depth]: enough to hide the
// scheduler, too little to hide a slow stage.
const defaultDepth = 16

type config struct {
	depth   int
	workers int
	many    bool // there may be several workers
	lanes   int
	key     any // func(T) uint64 of the T of the node's input
}

// Option configures a node and the edge it reads from.
type Option func(*config)

// Depth sets how many parcels may queue before the node; with [Lanes], before
// each lane. At least 1. Adjustable by [Graph.SetLimits].
func Depth(n int) Option { return func(c *config) { c.depth = max(n, 1) } }

// Workers runs the node n times on the one edge, which gives up order.
// Adjustable by [Graph.SetLimits]; a node without this option has one worker for good.
func Workers(n int) Option { return func(c *config) { c.workers, c.many = max(n, 1), true } }

// Lanes runs the node n times, each with a queue of its own; parcels of one key
// always go to the same lane, so their order is kept. Keys are mixed first, they
// need not be evenly spread. T must be the type of the node's input, or Run fails
// with [ErrWiring]. The number of lanes is fixed: changing it would reorder.
func Lanes[T any](n int, key func(T) uint64) Option {
	return func(c *config) { c.lanes, c.key = max(n, 1), key }
}

func configure(opts []Option) config {
	c := config{depth: defaultDepth, workers: 1}
	for _, o := range opts {
		o(&c)
	}
	return c
}
