package group

// Memory returns the bytes of groups, their members and offsets, and how many there may be.
func (c *Coordinator) Memory() (used, limit int64) {
	now, _ := c.room.now()
	return now.bytes, c.cfg.MetadataBytes
}
