package group

import "sync"

// hosts counts the groups with members by the address of their first member. Such groups cannot
// be evicted, so one address must not have all of them: once three quarters of the allowed
// groups have members, an address with more than a quarter gets no more. It is shared by the
// lanes.
type hosts struct {
	most int

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newHosts(most int) *hosts { return &hosts{most: most, of: make(map[string]int)} }

// crowded reports whether another group with a member at host would leave too few to others.
func (h *hosts) crowded(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all+1 > h.most-h.most/4 && h.of[host]+1 > h.most/4
}

// move moves a group between hosts; "" is none.
func (h *hosts) move(from, to string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if from != "" {
		h.all--
		if h.of[from]--; h.of[from] == 0 {
			delete(h.of, from)
		}
	}
	if to != "" {
		h.all++
		h.of[to]++
	}
}
