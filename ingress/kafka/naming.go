package kafka

import (
	"strings"
	"sync"
)

// naming keeps requests that are served at the same time from creating topics whose names are the
// same in metrics. A request sees the topics of others in its View, or their names here: a name stays
// until every request has ended that may have taken its View before the topic was in it.
type naming struct {
	mu    sync.Mutex
	last  int64 // number of requests begun
	begun map[*planner]int64
	names map[string]*reservedName // by name in metrics
}

// reservedName is a name that a request checked, and creates or has created.
type reservedName struct {
	name  string
	by    *planner
	ended int64 // last, when the request had ended; 0 before
}

func newNaming() *naming {
	return &naming{begun: make(map[*planner]int64), names: make(map[string]*reservedName)}
}

// begin is called before p takes its View.
func (n *naming) begin(p *planner) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	n.begun[p] = n.last
}

// end is called when the topics of p are in the View, or will not be created.
func (n *naming) end(p *planner) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.begun, p)
	oldest := n.last + 1
	for _, at := range n.begun {
		oldest = min(oldest, at)
	}
	for key, r := range n.names {
		if r.by == p {
			r.ended = n.last
		}
		if r.ended > 0 && r.ended < oldest {
			delete(n.names, key)
		}
	}
}

// reserve reserves the name of a topic for p. It returns the name that another request has reserved
// and that differs from it only by '.' and '_', or "".
func (n *naming) reserve(p *planner, name string) (other string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.names[inMetrics(name)]
	switch {
	case r == nil:
		n.names[inMetrics(name)] = &reservedName{name: name, by: p}
	case r.by != p && r.name != name:
		return r.name
	}
	return ""
}

// inMetrics is a topic's name in the metrics of Kafka.
func inMetrics(name string) string { return strings.ReplaceAll(name, ".", "_") }
