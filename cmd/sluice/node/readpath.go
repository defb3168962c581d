package node

import (
	"context"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/cache"
	"github.com/sluicemq/sluice/stages/locate"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/readcache"
	"github.com/sluicemq/sluice/stages/trim"
	"github.com/sluicemq/sluice/stages/wal"
	"github.com/sluicemq/sluice/stages/walread"
)

// readStages are the nodes of the read pipeline, in the order of a read.
type readStages struct {
	entry     *pipeline.Inlet[*flow.Fetch]
	locator   *locate.Locator
	cache     *cache.Cache
	images    int64 // bytes of images outside the cache
	readcache *readcache.Cache
	tracker   *unreadable.Tracker
	log       *wal.Log
	objects   *objectfetch.Fetcher
	trim      *trim.Stage
}

// wire builds the read pipeline. Reads at the tail never wait behind a disk or
// an object store, nor do reads of cached history behind the store:
//
//	fetch -> locate -> cache -+-> (hot) -----------------------------------------+-> trim
//	                          +-> walread -> readcache -+-> (cached) ------------+
//	                                                    +-> objectfetch ---------+
func (s *readStages) wire(g *pipeline.Graph, limits config.Stages) {
	asked := pipeline.From(g, "fetch", s.entry)
	located := pipeline.Via(asked, "locate", s.locator.Stage(), both(limits.Locate)...)
	cached := pipeline.Via(located, "cache", cache.ReadStage(s.cache, s.images/2), both(limits.ReadHot)...)
	ways := pipeline.Route(cached, "tier", 2, coldWay)
	relocate := func(r *flow.Read) { s.locator.Locate(r, r.MaxBytes) }
	fromWAL := pipeline.Via(ways[1], "walread", walread.Stage(s.log, relocate, s.tracker), both(limits.WALRead)...)
	fromCache := pipeline.Via(fromWAL, "readcache", readcache.Stage(s.readcache, s.objects.Served), both(limits.ReadCold)...)
	rest := pipeline.Route(fromCache, "store", 2, coldWay)
	fetched := pipeline.Via(rest[1], "objectfetch", s.objects.Stage(), both(limits.ObjectFetch)...)
	pipeline.Into(pipeline.Merge("served", ways[0], rest[0], fetched), "trim", s.trim, both(limits.Trim)...)
}

// coldWay returns the second branch for fetches with reads not served yet.
func coldWay(f *flow.Fetch) int {
	if f.Cold() {
		return 1
	}
	return 0
}

// timeIndex searches by timestamp in the WAL and in objects.
type timeIndex struct {
	locator *locate.Locator
	log     *wal.Log
	objects *objectfetch.Fetcher
	tracker *unreadable.Tracker
}

// ByTime finds the first record with a timestamp at or after ms.
func (t *timeIndex) ByTime(ctx context.Context, s *partition.State, ms int64) (kafka.TimedOffset, bool, error) {
	f, ok, err := t.locator.ByTime(ctx, s, ms, t)
	return kafka.TimedOffset(f), ok, err
}

// InWAL implements locate.Batches.
func (t *timeIndex) InWAL(ctx context.Context, p topic.Partition, e partition.Entry) ([]byte, error) {
	return walread.Tracked(ctx, t.log, p, e, t.tracker)
}

// InObject implements locate.Batches.
func (t *timeIndex) InObject(ctx context.Context, p topic.Partition, ref meta.ObjectRef, ms, from int64) (record.Batch, bool, error) {
	return t.objects.InObject(ctx, p, ref, ms, from)
}

func both(w config.Workers) []pipeline.Option {
	return []pipeline.Option{pipeline.Depth(w.Depth), pipeline.Workers(w.Workers)}
}
