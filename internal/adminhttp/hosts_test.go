package adminhttp

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestHostnameOfAHeader(t *testing.T) {
	for header, want := range map[string]string{
		"localhost": "localhost", "LocalHost:9642": "localhost", "localhost.": "localhost", "localhost.:9642": "localhost", "localhost:": "localhost",
		"127.0.0.1:1": "127.0.0.1", "[::1]": "::1", "[::1]:9642": "::1", "::1": "::1", "[0:0:0:0:0:0:0:1]:9642": "::1",
		"[::ffff:127.0.0.1]:9642": "127.0.0.1", "[fe80::1%eth0]:9642": "fe80::1", "Queue.Example.COM.:80": "queue.example.com",
	} {
		if got, ok := hostname(header); !ok || got != want {
			t.Errorf("%q: %q, %v; want %q", header, got, ok, want)
		}
	}
	for _, header := range []string{"[::1", "::1]:9642", "[localhost]", "[localhost]:9642", "localhost:9642:9642", "localhost:port", "localhost:99999",
		"a@localhost", "http://localhost", "local host", "[::1]x", "[::1]x:80", "*"} {
		if got, ok := hostname(header); ok {
			t.Errorf("%q is taken for %q", header, got)
		}
	}
}

func TestHostsOfASetting(t *testing.T) {
	got, err := ParseHosts(" Queue.example.com., 10.0.0.5,[FE80::1], ,2001:db8::2 ")
	if want := []string{"queue.example.com", "10.0.0.5", "fe80::1", "2001:db8::2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{"http://queue.example.com", "queue.example.com:9642", "*", "*.example.com", "a b", "[::1]:9642", "[x", "x]", "queue/x", "."} {
		if got, err := ParseHosts(bad); err == nil {
			t.Errorf("%q is taken for %q", bad, got)
		}
	}
}

// A server that listens on all addresses accepts as Host only the address at which the
// connection arrived.
func TestTheAddressThatARequestCameInAt(t *testing.T) {
	h := newHosts([]string{"0.0.0.0", "", "[::]"})
	for host, want := range map[string]bool{"10.1.2.3": true, "10.1.2.3:9642": true, "[::ffff:10.1.2.3]:9642": true, "10.1.2.4": false,
		"0.0.0.0:9642": false, "[::]:9642": false, "": false, ":9642": false, "localhost": true} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		at := &net.TCPAddr{IP: net.ParseIP("10.1.2.3"), Port: 9642} // in 16-byte form, as from a dual-stack socket
		if got := h.allows(r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at))); got != want {
			t.Errorf("reached at 10.1.2.3 and asked for %q: %v", host, got)
		}
	}
}
