package adminhttp

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// MaxConnections is how many connections a server has at most. They are people,
// scrapers and probes; the descriptors belong to clients, segments and objects.
const MaxConnections = 64

// bound keeps the connections of a server within their number, and has it log to log.
func bound(s *http.Server, log *slog.Logger) {
	c := &conns{most: MaxConnections, all: make(map[net.Conn]idleness)}
	s.ConnState, s.ErrorLog = c.state, slog.NewLogLogger(log.Handler(), slog.LevelWarn)
}

// conns keeps the connections of the admin server within most: one too many has the
// one go that has been idle the longest, or, where none is, goes itself.
type conns struct {
	most int

	mu  sync.Mutex
	all map[net.Conn]idleness
}

type idleness struct {
	idle  bool
	since time.Time
}

// state is the ConnState of a http.Server.
func (a *conns) state(c net.Conn, s http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch s {
	case http.StateClosed, http.StateHijacked:
		delete(a.all, c)
		return
	}
	// One that has not sent its first request is as good as idle.
	a.all[c] = idleness{idle: s != http.StateActive, since: time.Now()}
	if s != http.StateNew || len(a.all) <= a.most {
		return
	}
	gone := c
	for other, i := range a.all {
		if i.idle && i.since.Before(a.all[gone].since) {
			gone = other
		}
	}
	delete(a.all, gone)
	_ = gone.Close() // it was open; its reader notices
}
