package node

import (
	"os"
	"runtime/debug"
)

// heapSlack is what a broker takes of the heap beside its budgets: metadata,
// indexes, connections, buffers on their way back.
const heapSlack = 40 << 20

// limitHeap has the collector keep the heap near the budgets that are on it. The
// WAL's buffers and the write cache are not; they are mapped apart. Whoever sets
// GOMEMLIMIT knows better.
func limitHeap(c Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(c.RequestBudgetBytes + c.Fetch.BudgetBytes + c.Storage.ReadCacheBytes + heapSlack)
	}
}
