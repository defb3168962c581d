package group

// Memory returns the bytes of groups with their members and offsets, and the limit.
func (c *Coordinator) Memory() (used, limit int64) {
	now, _ := c.quota.now()
	return now.bytes, c.cfg.MetadataBytes
}
