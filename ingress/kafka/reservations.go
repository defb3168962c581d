package kafka

import (
	"strings"
	"sync"
)

// reservations keeps concurrent requests from exceeding together what each may do alone: creating
// topics whose names are the same in metrics, and more partitions than the cluster may have. A
// request sees the topics of others in its View, or their reservations here: a reservation stays
// until every request has ended that may have taken its View before the topic was in it.
type reservations struct {
	mu    sync.Mutex
	last  int64 // number of requests begun
	begun map[*planner]int64
	names map[string]*reservedName // by name in metrics
	parts map[*planner]*reservedPartitions
}

// reservedName is a name that a request checked, and creates or has created.
type reservedName struct {
	name  string
	by    *planner
	ended int64 // last, when the request had ended; 0 before
}

// reservedPartitions is how many partitions a request adds or has added.
type reservedPartitions struct {
	n     int
	ended int64 // as in reservedName
}

func newReservations() *reservations {
	return &reservations{begun: make(map[*planner]int64), names: make(map[string]*reservedName), parts: make(map[*planner]*reservedPartitions)}
}

// begin is called before p takes its View.
func (r *reservations) begin(p *planner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.begun[p] = r.last
}

// end is called when the topics of p are in the View, or will not be created.
func (r *reservations) end(p *planner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.begun, p)
	oldest := r.last + 1
	for _, at := range r.begun {
		oldest = min(oldest, at)
	}
	for key, n := range r.names {
		if n.by == p {
			n.ended = r.last
		}
		if n.ended > 0 && n.ended < oldest {
			delete(r.names, key)
		}
	}
	for by, n := range r.parts {
		if by == p {
			n.ended = r.last
		}
		if n.ended > 0 && n.ended < oldest {
			delete(r.parts, by)
		}
	}
}

// name reserves the name of a topic for p. It returns the name that another request has reserved
// and that differs from it only by '.' and '_', or "".
func (r *reservations) name(p *planner, name string) (other string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[inMetrics(name)]
	switch {
	case n == nil:
		r.names[inMetrics(name)] = &reservedName{name: name, by: p}
	case n.by != p && n.name != name:
		return n.name
	}
	return ""
}

// partitions reserves n more partitions for p, of room that its View has. It returns how much
// room is left after that; if that is negative, nothing was reserved. Partitions of concurrent requests
// count even if they are in the View already, so a request close to the limit may be refused
// although it would just fit.
func (r *reservations) partitions(p *planner, n, room int) (left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left = room - n
	for by, other := range r.parts {
		if by == p || other.ended == 0 || other.ended >= r.begun[p] {
			left -= other.n
		}
	}
	if left < 0 {
		return left
	}
	if r.parts[p] == nil {
		r.parts[p] = new(reservedPartitions)
	}
	r.parts[p].n += n
	return left
}

// inMetrics is a topic's name in the metrics of Kafka.
func inMetrics(name string) string { return strings.ReplaceAll(name, ".", "_") }
