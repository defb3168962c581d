package compact

// Memory returns the bytes that compaction takes, and may take.
func (c *Compactor) Memory() (used, limit int64) { return c.indexed.Load(), c.Config().MemoryBytes }

// index notes how large the index of keys is.
func (c *Compactor) index(bytes int64) {
	c.indexed.Store(bytes)
	c.metrics.index.Set(float64(bytes))
}
