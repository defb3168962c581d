package adminhttp

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"
)

// Clients that keep their connections open never exceed the maximum, and newcomers are
// served.
func TestAdminConnectionsAreBounded(t *testing.T) {
	const most = 8
	release := make(chan struct{})
	var bounded *conns
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !bounded.begin(r) {
			t.Error("a request is refused")
		}
		if r.URL.Path == "/slow" {
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	}))
	bounded = &conns{most: most, work: most, all: make(map[net.Conn]activity)}
	bounded.watch(s.Config)
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	ask := func(path string) (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	served := func(r *bufio.Reader) bool {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err == nil
	}
	_, slow := ask("/slow")
	for i := range 10 * most {
		if _, r := ask("/"); !served(r) {
			t.Fatalf("newcomer %d is not served", i)
		}
		bounded.mu.Lock()
		n := len(bounded.all)
		bounded.mu.Unlock()
		if n > most {
			t.Fatalf("%d connections", n)
		}
	}
	release <- struct{}{}
	if !served(slow) {
		t.Error("a request under way was cut off for a newcomer")
	}
}

// serving starts a server with a handler on a free port. dial connects to it and sends text.
func serving(t *testing.T, h http.HandlerFunc) (s *http.Server, dial func(text string) (net.Conn, *bufio.Reader)) {
	s = New(Config{}, h, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = s.Serve(l); close(done) }()
	t.Cleanup(func() { s.Close(); <-done })
	return s, func(text string) (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
}

const (
	get  = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
	post = "POST /limits HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)

// status reads a response and returns its status and body. The status is 0 if there is none.
func status(r *bufio.Reader) (code int, body string) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err.Error()
	}
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// Requests whose bodies never arrive do not keep others out. A body that is too long is refused,
// if possible by its declared length.
func TestUnfinishedBodiesMakeRoom(t *testing.T) {
	_, dial := serving(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	began := time.Now()
	for range 2 * MaxConnections {
		dial(fmt.Sprintf(post, 100, `{"gr`))
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		for range 10 {
			_, r := dial(fmt.Sprintf(get, path))
			if code, body := status(r); code != http.StatusOK {
				t.Fatalf("%s: %d %s, after %v", path, code, body, time.Since(began))
			}
		}
	}
	_, r := dial(fmt.Sprintf(post, int64(1e15), ""))
	if code, _ := status(r); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too long: %d", code)
	}
	_, r = dial(fmt.Sprintf(post, maxBodyBytes+1, ""))
	if code, _ := status(r); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is one byte too long: %d", code)
	}
	_, r = dial("POST /limits HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
		fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", maxBodyBytes+1, strings.Repeat("x", maxBodyBytes+1)))
	if code, _ := status(r); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body in chunks that is too long: %d", code)
	}
	_, r = dial(fmt.Sprintf(post, 2, "{}"))
	if code, body := status(r); code != http.StatusOK || body != "{}" {
		t.Errorf("the handler is given %q and answers %d", body, code)
	}
}

// Clients that do not read their responses occupy at most half of the connections, and only
// until another request needs one. Health checks always succeed.
func TestSlowReadersMakeRoom(t *testing.T) {
	large := make([]byte, 64<<20)
	var at atomic.Int64
	s, dial := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			at.Add(1)
			defer at.Add(-1)
			_, _ = w.Write(large)
			return
		}
		_, _ = io.WriteString(w, "ok")
	})
	s.Handler.(*guard).conns.patience = 50 * time.Millisecond
	probe := func() {
		t.Helper()
		for range 5 {
			_, r := dial(fmt.Sprintf(get, "/healthz"))
			if code, body := status(r); code != http.StatusOK {
				t.Fatalf("a health check: %d %s", code, body)
			}
		}
	}
	for range 2 * MaxConnections {
		dial(fmt.Sprintf(get, "/large"))
		probe()
	}
	for end := time.Now().Add(30 * time.Second); ; {
		_, r := dial(fmt.Sprintf(get, "/metrics"))
		code, body := status(r)
		if code == http.StatusOK {
			break
		}
		if code != http.StatusServiceUnavailable || time.Now().After(end) {
			t.Fatalf("another request: %d %s", code, body)
		}
	}
	if n := at.Load(); n > maxWork+1 { // the handler of a closed connection may not have returned yet
		t.Errorf("%d answers are being written", n)
	}
	probe()
}

// A request that is being handled is not cut off in favor of others before it starts to
// respond.
func TestWorkIsNotCutOff(t *testing.T) {
	release, working := make(chan struct{}), make(chan struct{}, maxWork)
	s, dial := serving(t, func(w http.ResponseWriter, r *http.Request) {
		working <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "done")
	})
	s.Handler.(*guard).conns.patience = 0
	var all []*bufio.Reader
	for range maxWork {
		_, r := dial(fmt.Sprintf(get, "/work"))
		all = append(all, r)
		<-working
	}
	for range MaxConnections {
		_, r := dial(fmt.Sprintf(get, "/work"))
		if code, body := status(r); code != http.StatusServiceUnavailable {
			t.Fatalf("one too many: %d %s", code, body)
		}
	}
	close(release)
	for i, r := range all {
		if code, body := status(r); code != http.StatusOK || body != "done" {
			t.Errorf("request %d: %d %s", i, code, body)
		}
	}
}

// Error truncates long messages, so that a response does not echo the whole request.
func TestErrorsAreShort(t *testing.T) {
	_, dial := serving(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		Error(w, http.StatusUnprocessableEntity, string(b))
	})
	_, r := dial(fmt.Sprintf(post, 3*300_000, strings.Repeat("\u20ac", 300_000)))
	code, body := status(r)
	if code != http.StatusUnprocessableEntity || len(body) > maxErrorBytes+10 || !utf8.ValidString(body) || !strings.HasPrefix(body, "\u20ac") {
		t.Errorf("%d, %d bytes", code, len(body))
	}
}
