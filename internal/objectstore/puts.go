package objectstore

import "sync"

// puts lets one Put of a key run at a time. On a disk gocloud looks whether the key
// is there and then renames over it, so that two at once would both succeed.
type puts struct {
	mu  sync.Mutex
	now map[string]chan struct{} // closed when the Put of the key is over
}

// begin waits for other Puts of key; end lets the next one begin.
func (p *puts) begin(key string) (end func()) {
	for {
		p.mu.Lock()
		other, busy := p.now[key]
		if !busy {
			break
		}
		p.mu.Unlock()
		<-other
	}
	defer p.mu.Unlock()
	if p.now == nil {
		p.now = make(map[string]chan struct{})
	}
	over := make(chan struct{})
	p.now[key] = over
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.now, key)
		close(over)
	}
}
