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
	n.memory.Add(line(memory.Requests, n.gate.Memory), line(memory.Answers, n.fetch.AnswerMemory))
	n.memory.Add(n.storage.memory()...)
	n.memory.Add(line(memory.FetchSessions, n.fetch.SessionMemory), line(memory.Groups, n.groups.Memory))
	limitHeap(n.memory.Heap())
	if n.cfg.MemoryLimitBytes == 0 {
		if most := containerMemory(); n.memory.Fit(most) != nil {
			n.log.Warn("the container has less memory than the broker may take; set memory.limit_bytes, and lower limits until they fit",
				"container", most, "limits", n.memory.Sum(), "process", int64(memory.Rest))
		}
	}
	return n.memory.Fit(n.cfg.MemoryLimitBytes)
}

// line is a use whose part tells both at once.
func line(u memory.Use, of func() (used, limit int64)) memory.Line {
	return memory.Line{Use: u, Used: func() int64 { n, _ := of(); return n }, Limit: func() int64 { _, n := of(); return n }}
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
// connections, buffers on their way back.
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
func collect(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for now := mostGarbage; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(live)
		if p := garbage(live[0].Value.Uint64()); math.Abs(float64(p-now)) > float64(now)/10 {
			debug.SetGCPercent(p)
			now = p
		}
	}
}

// garbage is the share for so many bytes in use.
func garbage(live uint64) int {
	return min(mostGarbage, max(leastGarbage, int(garbageBytes*100/max(live, 1))))
}
