package node

import (
	"os"
	"runtime/debug"
)

// heapSlack is what a broker takes of the heap beside its budgets: metadata,
// indexes, connections, buffers on their way back.
const heapSlack = 40 << 20

// gcPercent lets the heap grow to four times what is in use before the collector runs,
// where the limit allows it. Most of what a busy broker allocates are requests and
// blocks on their way through, with little in use beside them, so that the collector
// would run dozens of times a second.
const gcPercent = 300

// limitHeap has the collector keep the heap near the budgets that are on it. The
// WAL's buffers and the write cache are not; they are mapped apart. Whoever sets
// GOMEMLIMIT or GOGC knows better.
func limitHeap(c Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.RequestBudgetBytes + c.Fetch.BudgetBytes + c.Storage.ReadCacheBytes + heapSlack)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
