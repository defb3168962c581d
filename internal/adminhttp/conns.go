package adminhttp

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// MaxConnections is how many connections a server has at most. They are people,
// scrapers and probes; the descriptors belong to clients, segments and objects.
const MaxConnections = 64

// maxWork is how many connections may be at work at once. The others wait for their clients
// and go for newcomers, so that a health check always finds a place.
const maxWork = MaxConnections / 2

// patience is how long a client may take over an answer before another request may have
// the place.
const patience = 5 * time.Second

// doing is what a connection does. Only requests other than health checks get beyond waits.
type doing int

const (
	waits  doing = iota // for its client: for a request or its body, or it answers a health check
	works               // on a request that is here as a whole
	writes              // its answer, which the client has to take
)

// activity is what a connection does, and since when.
type activity struct {
	doing
	since time.Time
}

// conns keeps the connections of the admin server within most, and those at work within
// work. For one too many, that which has waited for its client the longest is closed. For
// one too many at work, that whose client has taken the longest over its answer is, or,
// where all are quick, the request is refused.
type conns struct {
	most, work int
	patience   time.Duration

	mu  sync.Mutex
	all map[net.Conn]activity
}

// bound keeps the connections of a server within their number, and has it log to log.
func bound(s *http.Server, log *slog.Logger) *conns {
	c := &conns{most: MaxConnections, work: maxWork, patience: patience, all: make(map[net.Conn]activity)}
	c.watch(s)
	s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	return c
}

type connKey struct{}

// watch has the server tell what its connections do.
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
		return // it was closed for another
	}
	c.all[nc] = activity{waits, time.Now()}
	if len(c.all) > c.most {
		c.close(c.longest(nc, waits))
	}
}

// longest returns the connection other than nc that has done something the longest, or nil.
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
		_ = nc.Close() // it was open; its reader or writer notices
	}
}

// begin notes that the connection of a request, all of which is here, is at work on it.
// It returns false if there is no place for it.
func (c *conns) begin(r *http.Request) bool {
	nc, _ := r.Context().Value(connKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.all[nc]; !there {
		return false // it was closed for another meanwhile
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

// answers notes that the connection of a request begins to write its answer.
func (c *conns) answers(r *http.Request) {
	nc, _ := r.Context().Value(connKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, there := c.all[nc]; there && a.doing == works {
		c.all[nc] = activity{writes, time.Now()}
	}
}

// What a client may take over an answer: over each piece of it, and over all of it.
const (
	pieceBytes  = 64 << 10
	pieceTime   = 10 * time.Second
	answerTime  = 90 * time.Second
	deadlineAge = time.Second // after which a deadline is set anew
)

// answer is the ResponseWriter of a request at work. A client that takes none of it for
// pieceTime is cut off.
type answer struct {
	http.ResponseWriter
	begins     func()    // is told of the first Write
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
			_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(end) // it is one of net/http
		}
		m, err := a.ResponseWriter.Write(b[n:min(n+pieceBytes, len(b))])
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
