package node

import (
	"os"
	"runtime/debug"

	"github.com/sluicemq/sluice/internal/memory"
)

// mapMemory adds the lines of everything that was opened to the map.
func (n *node) mapMemory() {
	n.memory.Add(n.storage.memory()...)
}

// memory returns the lines of the pipelines' stages and of what these work on.
// Images are mapped from one pool, whose limit is the sum of both lines.
func (s *storage) memory() []memory.Line {
	images, blocks := s.reads.cache, s.reads.readcache
	return []memory.Line{
		{Name: "write_cache", Holds: "groups of the WAL as they were written, for consumers at the tail and for uploads",
			Setting: "cache.write_cache_size_bytes", Mapped: true, Used: images.Bytes, Limit: images.Limit},
		{Name: "wal_buffers", Holds: "groups of the WAL that are being written, or that readers hold",
			Setting: "memory.wal_buffer_bytes", Mapped: true,
			Used:  func() int64 { return max(0, s.pool.Used()-images.Bytes()) },
			Limit: func() int64 { return s.pool.Limit() - images.Limit() }},
		memory.Of("tail_index", "where the batches in the WAL are", "memory.tail_index_bytes", s.index),
		{Name: "read_cache", Holds: "blocks and indexes of objects, also those read ahead",
			Setting: "cache.read_cache_size_bytes", Used: blocks.Bytes, Limit: blocks.Limit},
	}
}

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
