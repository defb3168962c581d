package peer_test

import (
	"net"
	"sync"
	"testing"
)

// proxy forwards connections, and breaks or freezes them.
type proxy struct {
	l    net.Listener
	to   string
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]struct{}
	thaw chan struct{} // not nil while frozen
}

func newProxy(t testing.TB, to string) *proxy {
	x := &proxy{l: listen(t), to: to, open: make(map[net.Conn]struct{})}
	x.wg.Go(func() {
		for {
			c, err := x.l.Accept()
			if err != nil {
				return
			}
			x.wg.Go(func() { x.forward(c) })
		}
	})
	t.Cleanup(func() {
		x.freeze(false)
		x.l.Close()
		x.breakAll()
		x.wg.Wait()
	})
	return x
}

func (x *proxy) addr() string { return x.l.Addr().String() }

func (x *proxy) forward(c net.Conn) {
	s, err := net.Dial("tcp", x.to)
	if err != nil {
		c.Close()
		return
	}
	x.mu.Lock()
	x.open[c], x.open[s] = struct{}{}, struct{}{}
	x.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { x.copy(s, c) })
	wg.Go(func() { x.copy(c, s) })
	wg.Wait()
	x.mu.Lock()
	delete(x.open, c)
	delete(x.open, s)
	x.mu.Unlock()
}

func (x *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		x.mu.Lock()
		thaw := x.thaw
		x.mu.Unlock()
		if thaw != nil {
			<-thaw
		}
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

// breakAll resets all connections.
func (x *proxy) breakAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for c := range x.open {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// freeze lets nothing through, while connections stay open.
func (x *proxy) freeze(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if on && x.thaw == nil {
		x.thaw = make(chan struct{})
	} else if !on && x.thaw != nil {
		close(x.thaw)
		x.thaw = nil
	}
}
