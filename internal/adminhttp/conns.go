package adminhttp

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// MaxConnections is the maximum number of connections of a server. They come from people,
// scrapers and probes. File descriptors are needed for clients, segments and objects.
const MaxConnections = 64

// maxWork is how many connections may handle a request at once. The others wait for their
// clients and are closed in favor of new ones, so health checks can always connect.
const maxWork = MaxConnections / 2

// patience is how long a client may take to read a response before its connection may be
// closed in favor of another request.
const patience = 5 * time.Second

// doing is the state of a connection. Health checks do not leave waits.
type doing int

const (
	waits  doing = iota // for its client to send a request or its body, or responding to a health check
	works               // on a request that was received completely
	writes              // its response, which the client must read
)

// activity is the state of a connection and when it was entered.
type activity struct {
	doing
	since time.Time
}

// conns limits the connections of the admin server to most, and those that handle a request
// to work. A connection beyond most closes the one that has waited for its client the
// longest. A request beyond work closes the connection whose client has been reading its
// response the longest or, if none has exceeded patience, is refused.
type conns struct {
	most, work int
	patience   time.Duration

	mu  sync.Mutex
	all map[net.Conn]activity
}

// bound limits the connections of s and sends its errors to log.
func bound(s *http.Server, log *slog.Logger) *conns {
	c := &conns{most: MaxConnections, work: maxWork, patience: patience, all: make(map[net.Conn]activity)}
	c.watch(s)
	s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	return c
}

type connKey struct{}

// watch subscribes to the connections of a server.
func (c *conns) watch(s *http.Server) {
	s.ConnState = c.state
	s.ConnContext = func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) }
}

// state is the ConnState of a http.Server.
func (c *conns) state(nc net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateClosed, http.StateHijacked:
		delete(c.all, nc)
		return
	}
	if _, there := c.all[nc]; !there && s != http.StateNew {
		return // closed in favor of another
	}
	c.all[nc] = activity{waits, time.Now()}
	if len(c.all) > c.most {
		c.close(c.longest(nc, waits))
	}
}

// longest returns the connection other than nc that has been in a state the longest, or nil.
func (c *conns) longest(nc net.Conn, what doing) (found net.Conn) {
	for other, a := range c.all {
		if other != nc && a.doing == what && (found == nil || a.since.Before(c.all[found].since)) {
			found = other
		}
	}
	return found
}

func (c *conns) close(nc net.Conn) {
	if nc != nil {
		delete(c.all, nc)
		_ = nc.Close() // its reader or writer gets the error
	}
}

// begin records that the connection of a completely received request starts to handle it. It
// returns false if too many do.
func (c *conns) begin(r *http.Request) bool {
	nc, _ := r.Context().Value(connKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.all[nc]; !there {
		return false // closed in favor of another meanwhile
	}
	n := 0
	for _, a := range c.all {
		if a.doing != waits {
			n++
		}
	}
	if n >= c.work {
		slow := c.longest(nc, writes)
		if slow == nil || time.Since(c.all[slow].since) < c.patience {
			return false
		}
		c.close(slow)
	}
	c.all[nc] = activity{works, time.Now()}
	return true
}

// answers records that the connection of a request starts to write the response.
func (c *conns) answers(r *http.Request) {
	nc, _ := r.Context().Value(connKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, there := c.all[nc]; there && a.doing == works {
		c.all[nc] = activity{writes, time.Now()}
	}
}

// Time limits for reading a response: for each piece and for the whole.
const (
	pieceBytes  = 64 << 10
	pieceTime   = 10 * time.Second
	answerTime  = 90 * time.Second
	deadlineAge = time.Second // minimum time between changes of the deadline
)

// answer is the ResponseWriter of a request that counts toward maxWork. A client that reads
// nothing for pieceTime is disconnected.
type answer struct {
	http.ResponseWriter
	begins     func()    // called at the first Write
	since, set time.Time // of the first Write, and of the last deadline
}

func (a *answer) Write(b []byte) (n int, err error) {
	if a.since.IsZero() {
		a.since = time.Now()
		a.begins()
	}
	for {
		if now := time.Now(); now.Sub(a.set) > deadlineAge {
			end := a.since.Add(answerTime)
			if by := now.Add(pieceTime); by.Before(end) {
				end = by
			}
			a.set = now
			_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(end) // the one of net/http supports it
		}
		m, err := a.ResponseWriter.Write(b[n:min(n+pieceBytes, len(b))])
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

// Unwrap supports http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
