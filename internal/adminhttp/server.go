package adminhttp

import (
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"time"
)

// Config says whom the server answers and what it shows.
type Config struct {
	// Hosts are names and addresses that requests may be for, besides those of loopback and
	// the address that they came in at. A name that others can have resolve to this machine
	// lets web pages of theirs ask.
	Hosts []string
	// Debug serves profiles of the process under /debug/pprof/. Dumps of the heap and of
	// goroutines may have records in them.
	Debug bool
	// Build is what GET /version says.
	Build Build
}

// maxBodyBytes is the longest body of a request.
const maxBodyBytes = 1 << 20

// New returns a server that answers with handler, but to /version and /debug/ itself.
func New(cfg Config, handler http.Handler, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.Handle("/debug/", profiling(cfg.Debug))
	mux.Handle("GET /version", cfg.Build)
	g := &guard{hosts: newHosts(cfg.Hosts), crossOrigin: http.NewCrossOriginProtection(), next: http.MaxBytesHandler(mux, maxBodyBytes)}
	s := &http.Server{Handler: g, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 90 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	bound(s, log)
	return s
}

// guard lets requests through that a web page of somebody else cannot have sent.
type guard struct {
	hosts       hosts
	crossOrigin *http.CrossOriginProtection
	next        http.Handler
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.hosts.allows(r) {
		refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("this server does not answer for the host %q; ask at localhost or the address that it listens on, or add the name to admin.hosts", r.Host))
		return
	}
	if err := g.crossOrigin.Check(r); err != nil {
		refuse(w, http.StatusForbidden, "this request comes from a page of another site, which may not change anything here")
		return
	}
	if !safe(r.Method) && !isJSON(r) {
		refuse(w, http.StatusUnsupportedMediaType, "the body must be JSON, and the header Content-Type say so: application/json")
		return
	}
	g.next.ServeHTTP(w, r)
}

// safe says whether a method changes nothing.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func isJSON(r *http.Request) bool {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(kinds[0])
	return err == nil && kind == "application/json"
}

// refuse answers with one sentence and closes the connection, so that a body is not read.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Connection", "close")
	http.Error(w, why, status)
}
