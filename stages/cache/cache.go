package cache

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// Cache holds group images, keyed by the group's WAL position. It is safe for
// concurrent use.
type Cache struct {
	mu     sync.RWMutex
	limit  int64
	bytes  int64
	images map[partition.Position]*blockfs.Buffer
	order  []partition.Position // positions, oldest at head
	head   int

	hits, misses, evicted prometheus.Counter
}

// New returns a cache of at most limit bytes.
func New(limit int64, reg prometheus.Registerer) *Cache {
	c := &Cache{limit: limit, images: make(map[partition.Position]*blockfs.Buffer),
		hits: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_write_cache_hits_total",
			Help: "Reads of adjacent batches served from the write cache."}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_write_cache_misses_total",
			Help: "Groups looked up that the write cache no longer held."}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_write_cache_evicted_bytes_total",
			Help: "Bytes of group images evicted from the write cache."}),
	}
	size := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_write_cache_bytes",
		Help: "Bytes of group images in the write cache."}, func() float64 { return float64(c.Bytes()) })
	reg.MustRegister(c.hits, c.misses, c.evicted, size)
	return c
}

// Put stores image under pos, takes over the caller's reference, and evicts down
// to the limit. A second Put for a position releases the new image.
func (c *Cache) Put(pos partition.Position, image *blockfs.Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.images[pos]; ok {
		image.Release()
		return
	}
	c.images[pos] = image
	c.order = append(c.order, pos)
	c.bytes += int64(cap(image.Bytes()))
	c.evict()
}

// Resize changes the limit and evicts down to it.
func (c *Cache) Resize(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit
	c.evict()
}

// Shed evicts images until n bytes are freed, oldest first, or the cache is
// empty.
func (c *Cache) Shed(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evictTo(c.bytes - n)
}

func (c *Cache) evict() { c.evictTo(c.limit) }

func (c *Cache) evictTo(limit int64) {
	for c.bytes > limit && c.head < len(c.order) {
		pos := c.order[c.head]
		c.head++
		image := c.images[pos]
		delete(c.images, pos)
		c.bytes -= int64(cap(image.Bytes()))
		c.evicted.Add(float64(cap(image.Bytes())))
		image.Release()
	}
	if c.head > 1024 && c.head*2 > len(c.order) {
		c.order = append([]partition.Position(nil), c.order[c.head:]...)
		c.head = 0
	}
}

// Get returns the image at pos with a new reference that the caller must release.
func (c *Cache) Get(pos partition.Position) (*blockfs.Buffer, bool) {
	c.mu.RLock()
	image, ok := c.images[pos]
	if ok {
		image.Retain()
	}
	c.mu.RUnlock()
	if ok {
		c.hits.Inc()
	} else {
		c.misses.Inc()
	}
	return image, ok
}

// Limit returns the maximum size in bytes.
func (c *Cache) Limit() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.limit
}

// Bytes returns the memory held.
func (c *Cache) Bytes() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bytes
}
