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

// Config configures the server.
type Config struct {
	// Hosts are further allowed values of Host, besides loopback and the local address of the
	// connection. A name whose DNS others control lets their web pages send requests.
	Hosts []string
	// Debug serves profiles under /debug/pprof/. Heap and goroutine dumps may contain records.
	Debug bool
	// Build is the response to GET /version.
	Build Build
}

// maxBodyBytes limits the body of a request.
const maxBodyBytes = 1 << 20

// New returns a server that serves /version and /debug/ itself and everything else with handler.
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

// guard rejects requests that a web page of another site may have sent.
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

// isHealthCheck reports whether r is a health check. Orchestrators kill the process if these
// fail. Their responses are short and cheap.
func isHealthCheck(r *http.Request) bool {
	return safe(r.Method) && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
}

// receive reads the whole body of a request, before the request counts toward maxWork. On
// failure it responds with an error.
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

// safe reports whether a method changes nothing.
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

// maxErrorBytes limits error messages, which may repeat what the client sent.
const maxErrorBytes = 1 << 10

// Error responds with an error message, truncated to 1 KiB.
func Error(w http.ResponseWriter, status int, why string) {
	if len(why) > maxErrorBytes {
		why = strings.ToValidUTF8(why[:maxErrorBytes], "") + " ..."
	}
	http.Error(w, why, status)
}

// refuse responds with an error and closes the connection, so that the body is not read.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Connection", "close")
	Error(w, status, why)
}
