package admission

import "github.com/sluicemq/sluice/pipeline"

// Memory returns the bytes of requests in the broker and their limit, without waiting fetches.
func (g *Gate) Memory() (used, limit int64) {
	for _, b := range []*pipeline.Budget{g.produce, g.control, g.work} {
		used += b.InUse()
		limit += b.Capacity()
	}
	return used, limit
}
