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

// mapMemory makes the map of everything that was opened, has the collector keep the
// heap within it, and refuses limits that do not fit into the process's memory.
func (n *node) mapMemory() error {
	n.memory.Add(line(memory.Connections, n.listeners.memory.Memory), line(memory.Requests, sum(n.gate.Memory, n.fetch.WaitingMemory)), line(memory.Answers, n.fetch.AnswerMemory))
	n.memory.Add(n.storage.memory()...)
	n.memory.Add(line(memory.FetchSessions, n.fetch.SessionMemory), line(memory.Groups, n.groups.Memory))
	limitHeap(n.memory.Heap())
	if n.cfg.Settings.Memory.LimitBytes == 0 {
		if most := containerMemory(); n.memory.Fit(most) != nil {
			n.log.Warn("the container has less memory than the broker may take; set memory.limit_bytes, and lower limits until they fit",
				"container", most, "limits", n.memory.Sum(), "process", int64(memory.Rest))
		}
	}
	return n.memory.Fit(n.cfg.Settings.Memory.LimitBytes)
}

// line is a use whose part tells both at once.
func line(u memory.Use, of func() (used, limit int64)) memory.Line {
	return memory.Line{Use: u, Used: func() int64 { n, _ := of(); return n }, Limit: func() int64 { _, n := of(); return n }}
}

// sum is that of two parts of one use.
func sum(a, b func() (used, limit int64)) func() (used, limit int64) {
	return func() (used, limit int64) {
		used, limit = a()
		u, l := b()
		return used + u, limit + l
	}
}

// memory returns the lines of the pipelines' stages and of what these work on.
// Images are mapped from one pool, whose limit is the sum of both lines.
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

// heapSlack is what a broker takes of the heap beside its map: metadata, partitions,
// buffers on their way back.
const heapSlack = 40 << 20

// limitHeap has the collector work harder when the heap comes near to what is charged
// on it. The WAL's buffers and the write cache are mapped apart. Whoever sets
// GOMEMLIMIT or GOGC knows better.
func limitHeap(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes + heapSlack)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostGarbage)
	}
}

// A limit below what is in use would have the collector run without end and find
// nothing: the process would stand still to save what it cannot. So the limit is at
// least so much above what is in use, a quarter and leastRoom.
const leastRoom = 16 << 20

// heapLimit returns the limit for a map of so many bytes, where live bytes of the heap
// are in use and the runtime has others beside the heap, such as stacks.
func heapLimit(mapped int64, live, others uint64) int64 {
	return max(mapped+heapSlack, int64(live+live/4+others)+leastRoom)
}

// How much garbage there may be before the collector runs, as a share of what is in use
// in percent. Most of what a busy broker allocates are requests and blocks on their way
// through, with little in use beside them, so that the collector would run dozens of
// times a second at the usual 100. But garbage above garbageBytes is memory that others
// could use, and what is in use is larger then.
const (
	mostGarbage  = 300
	leastGarbage = 50
	garbageBytes = 40 << 20
)

// collect adapts how often the collector runs to what is in use, until ctx is done.
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

// differs by more than a tenth.
func differs(a, b int64) bool { return math.Abs(float64(a-b)) > float64(b)/10 }

// garbage is the share for so many bytes in use.
func garbage(live uint64) int {
	return min(mostGarbage, max(leastGarbage, int(garbageBytes*100/max(live, 1))))
}
