package adminhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Clients of the admin server that keep their connections take no more than their
// number, and newcomers are served.
func TestAdminConnectionsAreBounded(t *testing.T) {
	const most = 8
	release := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	}))
	bounded := &conns{most: most, all: make(map[net.Conn]idleness)}
	s.Config.ConnState = bounded.state
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
