package node

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/sluicemq/sluice/internal/memory"
)

// mapMemory builds the memory map of everything that was opened, sets the heap limit
// accordingly, and refuses limits that do not fit into the process's memory.
func (n *node) mapMemory() error {
	n.memory.Add(line(memory.Connections, n.listeners.memory.Memory), line(memory.Requests, sum(n.gate.Memory, n.fetch.WaitingMemory)), line(memory.Answers, n.fetch.AnswerMemory))
	n.memory.Add(n.storage.memory()...)
	n.memory.Add(line(memory.FetchSessions, n.fetch.SessionMemory), line(memory.Groups, n.groups.Memory))
	limitHeap(n.memory.Heap())
	if n.cfg.Settings.Memory.LimitBytes == 0 {
		if most := containerMemory(); n.memory.Fit(most) != nil {
			n.log.Warn("the container has less memory than the broker may use; set memory.limit_bytes, and lower limits until they fit",
				"container", most, "limits", n.memory.Sum(), "process", int64(memory.Rest))
		}
	}
	return n.memory.Fit(n.cfg.Settings.Memory.LimitBytes)
}

// line returns the line of a use whose owner reports both values.
func line(u memory.Use, of func() (used, limit int64)) memory.Line {
	return memory.Line{Use: u, Used: func() int64 { n, _ := of(); return n }, Limit: func() int64 { _, n := of(); return n }}
}

// sum adds two parts of one use.
func sum(a, b func() (used, limit int64)) func() (used, limit int64) {
	return func() (used, limit int64) {
		used, limit = a()
		u, l := b()
		return used + u, limit + l
	}
}

// memory returns the lines of the pipelines' stages and of their data. Images come from one
// pool, whose limit is the sum of both lines.
func (s *storage) memory() []memory.Line {
	images, blocks := s.reads.cache, s.reads.readcache
	buffers := func() int64 { return s.pool.Limit() - images.Limit() }
	return []memory.Line{
		{Use: memory.WriteCache, Used: func() int64 { return max(images.Bytes(), s.pool.Used()-buffers()) }, Limit: images.Limit},
		{Use: memory.WALBuffers, Used: func() int64 { return min(max(0, s.pool.Used()-images.Bytes()), buffers()) }, Limit: buffers},
		memory.Of(memory.TailIndex, s.index), line(memory.Producers, s.producers.Memory),
		{Use: memory.ReadCache, Used: blocks.Bytes, Limit: blocks.Limit},
		line(memory.ObjectReads, s.fetcher.Memory),
		line(memory.Compaction, s.compactor.Memory), line(memory.Uploads, s.uploader.Memory),
	}
}

// heapSlack is the heap used by things outside of the memory map: metadata, partitions, buffers
// being returned.
const heapSlack = 40 << 20

// limitHeap makes the garbage collector work harder as the heap approaches the given size, plus
// heapSlack. The WAL's buffers and the write cache are not on the heap. GOMEMLIMIT and GOGC take
// precedence.
func limitHeap(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes + heapSlack)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostGarbage)
	}
}

// With a limit below the live heap the collector would run continuously and find nothing, and
// the process would stall. So the limit is at least the live heap, plus a quarter, plus
// leastRoom.
const leastRoom = 16 << 20

// heapLimit returns the limit for a memory map of that many bytes, given the live heap and the
// runtime's memory outside of it, such as stacks.
func heapLimit(mapped int64, live, others uint64) int64 {
	return max(mapped+heapSlack, int64(live+live/4+others)+leastRoom)
}

// Limits of the garbage that accumulates before the collector runs, in percent of the live
// heap. Most allocations of a busy broker are requests and blocks passing through, with a small
// live heap, so that at the usual 100 the collector would run dozens of times a second. But
// garbage above garbageBytes is memory that others could use, and the live heap is larger then.
const (
	mostGarbage  = 300
	leastGarbage = 50
	garbageBytes = 40 << 20
)

// collect adapts the frequency of collections to the live heap, until ctx is done.
func (n *node) collect(ctx context.Context) {
	in := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	percent, limit := int64(mostGarbage), debug.SetMemoryLimit(-1)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(in)
		live, others := in[0].Value.Uint64(), in[1].Value.Uint64()
		for _, heap := range in[2:] {
			others -= min(others, heap.Value.Uint64())
		}
		if p := int64(garbage(live)); os.Getenv("GOGC") == "" && differs(p, percent) {
			debug.SetGCPercent(int(p))
			percent = p
		}
		if l := heapLimit(n.memory.Heap(), live, others); os.Getenv("GOMEMLIMIT") == "" && differs(l, limit) {
			debug.SetMemoryLimit(l)
			limit = l
		}
	}
}

// differs reports a difference of more than a tenth.
func differs(a, b int64) bool { return math.Abs(float64(a-b)) > float64(b)/10 }

// garbage returns the percentage for a live heap.
func garbage(live uint64) int {
	return min(mostGarbage, max(leastGarbage, int(garbageBytes*100/max(live, 1))))
}
