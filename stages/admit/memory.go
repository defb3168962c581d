package admit

// Memory returns the bytes of requests in the broker, and how many there may be.
func (g *Gate) Memory() (used, limit int64) {
	return g.produce.InUse() + g.control.InUse() + g.work.InUse(), g.produce.Capacity() + g.control.Capacity() + g.work.Capacity()
}
