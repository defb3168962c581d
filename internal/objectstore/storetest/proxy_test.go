package storetest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// proxy sits between a Store and a server and injects the faults of networks and object
// stores.
type proxy struct {
	*httptest.Server
	target *url.URL // set once, before the first request

	mu     sync.Mutex
	faults []*fault
	seen   []string // methods and paths
	held   sync.WaitGroup
	over   chan struct{}
}

// fault applies to matching requests: it skips the first skip, then applies times times.
type fault struct {
	match       func(*http.Request) bool
	skip, times int
	do          func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc)
	hits        int // guarded by the proxy
}

const always = 1 << 30

func newProxy(t *testing.T) *proxy {
	p := &proxy{over: make(chan struct{})}
	p.Server = httptest.NewServer(p)
	t.Cleanup(func() {
		close(p.over)
		p.held.Wait()
		p.Server.Close()
	})
	return p
}

func (p *proxy) addr() string { return p.Listener.Addr().String() }

// during injects faults while f runs, and returns how often each one was applied.
func (p *proxy) during(f func(), faults ...*fault) []int {
	p.mu.Lock()
	p.faults = faults
	p.mu.Unlock()
	f()
	p.mu.Lock()
	defer p.mu.Unlock()
	hits := make([]int, len(faults))
	for i, x := range faults {
		hits[i] = x.hits
	}
	p.faults = nil
	return hits
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+r.URL.RequestURI())
	var hit *fault
	for _, f := range p.faults {
		if !f.match(r) {
			continue
		}
		if f.skip > 0 {
			f.skip--
		} else if f.times > 0 {
			f.times--
			f.hits++
			hit = f
			break
		}
	}
	p.mu.Unlock()
	if hit == nil {
		p.pass(w, r)
		return
	}
	hit.do(w, r, p.pass)
}

// requests returns how many requests came since the last call.
func (p *proxy) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.seen)
	p.seen = nil
	return n
}

func (p *proxy) pass(w http.ResponseWriter, r *http.Request) {
	(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = p.target.Scheme, p.target.Host
			pr.Out.Host = pr.In.Host // it is signed
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}).ServeHTTP(w, r)
}

// answer replies with a status and an S3 error body, without asking the server.
func answer(status int, code string) func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("x-ms-error-code", code)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+code+`</Code><Message>a fault</Message></Error>`)
		}
	}
}

// silence never responds.
func silence(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// silenceAfter passes the request to the server, and never responds.
func silenceAfter(_ http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
	pass(httptest.NewRecorder(), r)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// resetSending resets the connection while the request arrives.
func resetSending(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	reset(w)
}

// resetAnswering resets the connection in the middle of the response.
func resetAnswering(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
	rec := httptest.NewRecorder()
	pass(rec, r)
	copyHead(w, rec)
	w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	w.(http.Flusher).Flush()
	reset(w)
}

// truncate responds with half of the body, declared as all of it.
func truncate(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
	rec := httptest.NewRecorder()
	pass(rec, r)
	rec.Header().Del("Content-Length")
	rec.Header().Del("x-goog-hash")
	copyHead(w, rec)
	w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
}

func copyHead(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
}

func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// slowly responds in ten pieces, a pause apart.
func slowly(pause time.Duration) func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
	return func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		rec := httptest.NewRecorder()
		pass(rec, r)
		copyHead(w, rec)
		all := rec.Body.Bytes()
		for i := range 10 {
			w.Write(all[i*len(all)/10 : (i+1)*len(all)/10])
			w.(http.Flusher).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			}
		}
	}
}

// zombie closes the connection, and delivers the request later, when told to.
type zombie struct {
	proxy   *proxy
	let     chan struct{}
	arrived chan int // the status it got
}

func newZombie(p *proxy) *zombie { return &zombie{p, make(chan struct{}), make(chan int, 1)} }

func (z *zombie) do(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
	body, _ := io.ReadAll(r.Body)
	late := httptest.NewRequest(r.Method, r.URL.RequestURI(), newReader(body))
	late.Header, late.Host, late.ContentLength = r.Header.Clone(), r.Host, r.ContentLength
	late.TransferEncoding = r.TransferEncoding
	z.proxy.held.Add(1)
	go func() {
		defer z.proxy.held.Done()
		select {
		case <-z.let:
			rec := httptest.NewRecorder()
			pass(rec, late)
			z.arrived <- rec.Code
		case <-z.proxy.over:
		}
	}()
	reset(w)
}

// deliver lets the request arrive and returns the status of the response.
func (z *zombie) deliver() int {
	close(z.let)
	return <-z.arrived
}
