package adminhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
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
	g := &guard{hosts: newHosts(cfg.Hosts), crossOrigin: http.NewCrossOriginProtection(), next: mux}
	s := &http.Server{Handler: g, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: answerTime, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	g.conns = bound(s, log)
	return s
}

// guard lets requests through that a web page of somebody else cannot have sent.
type guard struct {
	hosts       hosts
	crossOrigin *http.CrossOriginProtection
	conns       *conns
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
	if r.ContentLength != 0 && !receive(w, r) {
		return
	}
	if isHealthCheck(r) {
		g.next.ServeHTTP(w, r)
		return
	}
	if !g.conns.begin(r) {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d requests are being answered, and more are not at once; try again", maxWork))
		return
	}
	g.next.ServeHTTP(&answer{ResponseWriter: w, begins: func() { g.conns.answers(r) }}, r)
}

// isHealthCheck reports whether a request is one of those that an orchestrator ends the
// process for. Their answers are short and cost nothing.
func isHealthCheck(r *http.Request) bool {
	return safe(r.Method) && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
}

// receive reads the body of a request, all of it, before the request takes a place among
// those at work. It answers for a body that cannot be had.
func receive(w http.ResponseWriter, r *http.Request) bool {
	tooLong := fmt.Sprintf("the body must have at most %d bytes", maxBodyBytes)
	if r.ContentLength > maxBodyBytes {
		refuse(w, http.StatusRequestEntityTooLarge, tooLong)
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, tooLong)
		return false
	case err != nil:
		refuse(w, http.StatusBadRequest, "the body did not come as a whole")
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
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

// maxErrorBytes is how much of an error a client is told: it may repeat what the client sent.
const maxErrorBytes = 1 << 10

// Error answers with an error of one sentence, the first KiB of it.
func Error(w http.ResponseWriter, status int, why string) {
	if len(why) > maxErrorBytes {
		why = strings.ToValidUTF8(why[:maxErrorBytes], "") + " ..."
	}
	http.Error(w, why, status)
}

// refuse answers with an error and closes the connection, so that a body is not read.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Connection", "close")
	Error(w, status, why)
}
