package pipeline

// defaultDepth is the depth of an edge without [Depth]: enough to hide scheduling
// delays, too little to hide a slow stage.
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

// Depth sets how many parcels may queue before the node, or with [Lanes] before
// each lane. At least 1. Adjustable with [Graph.SetLimits].
func Depth(n int) Option { return func(c *config) { c.depth = max(n, 1) } }

// Workers runs n instances of the node on its single edge, which gives up
// ordering. Adjustable with [Graph.SetLimits]; without this option a node always
// has one worker.
func Workers(n int) Option { return func(c *config) { c.workers, c.many = max(n, 1), true } }

// Lanes runs n instances of the node, each with its own queue; parcels with the
// same key always go to the same lane, so their order is preserved. Keys are
// hashed first and need not be evenly distributed. T must be the node's input
// type, or Run fails with [ErrWiring]. The number of lanes is fixed: changing it
// would reorder parcels.
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
