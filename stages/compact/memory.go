package compact

// Memory returns the bytes that compaction takes, and may take.
func (c *Compactor) Memory() (used, limit int64) { return c.indexed.Load(), c.Config().MemoryBytes }

// index records the size of the key index.
func (c *Compactor) index(bytes int64) {
	c.indexed.Store(bytes)
	c.metrics.index.Set(float64(bytes))
}
