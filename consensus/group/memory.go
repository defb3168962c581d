package group

// Memory returns the bytes of members of groups, and how many there may be.
func (c *Coordinator) Memory() (used, limit int64) { return c.bytes.Load(), c.cfg.MetadataBytes }
