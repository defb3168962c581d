package readcache

import (
	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// key names a block of an object, or its footer.
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
	hits, misses prometheus.Counter
}

// New returns a cache of at most limit bytes. The admission policy is W-TinyLFU,
// which a single scan cannot flush.
func New(limit int64, reg prometheus.Registerer) *Cache {
	c := &Cache{
		c: otter.Must(&otter.Options[key, value]{MaximumWeight: uint64(max(limit, 1)), Weigher: weigh}),
		hits: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_read_cache_hits_total",
			Help: "Blocks of objects found in the read cache."}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_read_cache_misses_total",
			Help: "Blocks of objects not found in the read cache."}),
	}
	reg.MustRegister(c.hits, c.misses, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_read_cache_bytes",
		Help: "Bytes of blocks and footers in the read cache."}, func() float64 { return float64(c.c.WeightedSize()) }))
	return c
}

// weigh estimates the memory of an entry.
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
func (c *Cache) Resize(limit int64) { c.c.SetMaximum(uint64(max(limit, 1))) }

// Footer returns the footer of an object.
func (c *Cache) Footer(id meta.ObjectID) (*object.Footer, bool) {
	v, ok := c.c.GetIfPresent(key{id, footer})
	return v.footer, ok
}

// PutFooter stores the footer of an object.
func (c *Cache) PutFooter(f *object.Footer) { c.c.Set(key{f.ID, footer}, value{footer: f}) }

// Block returns the verified bytes of a block. They must not be changed.
func (c *Cache) Block(id meta.ObjectID, b object.Block) ([]byte, bool) {
	v, ok := c.c.GetIfPresent(key{id, b.Offset})
	if ok {
		c.hits.Inc()
	} else {
		c.misses.Inc()
	}
	return v.block, ok
}

// PutBlock stores the verified bytes of a block.
func (c *Cache) PutBlock(id meta.ObjectID, b object.Block, data []byte) {
	c.c.Set(key{id, b.Offset}, value{block: data})
}
