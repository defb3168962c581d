package readcache

import (
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// key identifies a block of an object, or its footer.
type key struct {
	id    meta.ObjectID
	block int64 // offset in the object; footer for the footer
}

const footer = -1

type value struct {
	block  []byte
	footer *object.Footer
}

// Cache holds blocks and footers. It is safe for concurrent use.
type Cache struct {
	c            *otter.Cache[key, value]
	ahead        prefetched
	limit        atomic.Int64
	hits, misses prometheus.Counter
}

// aheadShare: one over this is the part of the limit for read-ahead blocks.
const aheadShare = 2

// New returns a cache of at most limit bytes, half of them for read-ahead blocks.
// The admission policy of the rest is W-TinyLFU, which a single scan cannot
// flush.
func New(limit int64, reg prometheus.Registerer) *Cache {
	c := &Cache{
		c:     otter.Must(&otter.Options[key, value]{MaximumWeight: mainLimit(limit), Weigher: weigh}),
		ahead: prefetched{limit: limit / aheadShare, blocks: make(map[key]prefetchedBlock)},
		hits: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_read_cache_hits_total",
			Help: "Blocks of objects found in the read cache."}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_read_cache_misses_total",
			Help: "Blocks of objects not found in the read cache."}),
	}
	c.limit.Store(limit)
	reg.MustRegister(c.hits, c.misses, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_read_cache_bytes",
		Help: "Bytes of blocks and footers in the read cache."}, func() float64 { return float64(c.c.WeightedSize()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_read_ahead_held_bytes",
			Help: "Bytes of blocks read ahead or being read ahead that no reader has passed yet."}, c.ahead.size))
	return c
}

// mainLimit is the part of limit for blocks that were requested.
func mainLimit(limit int64) uint64 { return uint64(max(limit-limit/aheadShare, 1)) }

// weigh estimates the memory of a cache entry.
func weigh(_ key, v value) uint32 {
	const overhead = 128
	if v.footer == nil {
		return uint32(len(v.block)) + overhead
	}
	n := overhead
	for i := range v.footer.Partitions {
		n += 96 + 56*len(v.footer.Partitions[i].Blocks)
	}
	return uint32(n)
}

// Resize changes the limit.
func (c *Cache) Resize(limit int64) {
	c.limit.Store(limit)
	c.c.SetMaximum(mainLimit(limit))
	c.ahead.resize(limit / aheadShare)
}

// Limit returns the memory limit.
func (c *Cache) Limit() int64 { return c.limit.Load() }

// Bytes returns the memory used, including read-ahead blocks.
func (c *Cache) Bytes() int64 { return int64(c.c.WeightedSize()) + int64(c.ahead.size()) }

// Footer returns the footer of an object.
func (c *Cache) Footer(id meta.ObjectID) (*object.Footer, bool) {
	v, ok := c.c.GetIfPresent(key{id, footer})
	return v.footer, ok
}

// PutFooter stores the footer of an object.
func (c *Cache) PutFooter(f *object.Footer) { c.c.Set(key{f.ID, footer}, value{footer: f}) }

// Block returns the verified bytes of a block. They must not be modified.
func (c *Cache) Block(id meta.ObjectID, b object.Block) ([]byte, bool) {
	k := key{id, b.Offset}
	data, ok := c.ahead.get(k)
	if !ok {
		var v value
		v, ok = c.c.GetIfPresent(k)
		data = v.block
	}
	if ok {
		c.hits.Inc()
	} else {
		c.misses.Inc()
	}
	return data, ok
}

// Holds reports whether a block is cached, without counting as a use.
func (c *Cache) Holds(id meta.ObjectID, b object.Block) bool {
	k := key{id, b.Offset}
	if _, ok := c.ahead.get(k); ok {
		return true
	}
	_, ok := c.c.GetEntryQuietly(k)
	return ok
}

// PutBlock stores the verified bytes of a block.
func (c *Cache) PutBlock(id meta.ObjectID, b object.Block, data []byte) {
	c.c.Set(key{id, b.Offset}, value{block: data})
}
