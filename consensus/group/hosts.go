package group

import "sync"

// hosts counts the groups with members by the address of the member that came first. Such
// groups make room for nobody, so one address may not have them all: once three quarters
// of the groups there may be have members, an address with more than a quarter gets no
// more. It is shared by the lanes.
type hosts struct {
	most int

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newHosts(most int) *hosts { return &hosts{most: most, of: make(map[string]int)} }

// crowded says whether another group with a member at host would leave too little to others.
func (h *hosts) crowded(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all+1 > h.most-h.most/4 && h.of[host]+1 > h.most/4
}

// move counts a group at another host than before; "" is none.
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
