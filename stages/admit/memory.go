package admit

// Memory returns the bytes of requests in the broker, and how many there may be.
func (g *Gate) Memory() (used, limit int64) {
	return g.data.InUse() + g.control.InUse(), g.data.Capacity() + g.control.Capacity()
}
