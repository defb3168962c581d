package e2e

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ask sends a request to an admin server and returns the status and body of the response.
// headers alternates names and values, and may include Host.
func ask(t testing.TB, method, admin, path, body string, headers ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), method, "http://"+admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// aBroker and aController each start a process with an admin server. lines are further settings
// of its [admin] section.
func aBroker(t testing.TB, lines string) (admin string) {
	admin = freePort(t)
	role(t, "broker", fmt.Sprintf("[broker]\ndata_directory = %q\n[network]\nquic_listen = \"\"\ntcp_listen = %q\nadvertised_host = \"queue.example.com\"\n[admin]\nlisten = %q\n%s",
		t.TempDir(), freePort(t), admin, lines), admin)
	return admin
}

func aController(t testing.TB, lines string) (admin string) {
	admin = freePort(t)
	role(t, "controller", fmt.Sprintf("[controller]\ndata_directory = %q\n[admin]\nlisten = %q\n%s", t.TempDir(), admin, lines), admin)
	return admin
}

// DNS rebinding: a page whose host name resolves to this machine is refused, whatever it requests.
// Requests for one of the server's own names are answered, however the name is spelled.
func TestAdminAnswersOnlyForItsHosts(t *testing.T) {
	const more = `hosts = "metrics.internal, 10.9.8.7"` + "\n"
	broker, controller := aBroker(t, more), aController(t, more)
	for _, admin := range []string{broker, controller} {
		_, port, err := net.SplitHostPort(admin)
		if err != nil {
			t.Fatal(err)
		}
		mine := []string{"localhost", "LOCALHOST", "LocalHost.", "127.0.0.1", "127.5.5.5", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
			"metrics.internal", "Metrics.Internal.", "10.9.8.7"}
		others := []string{"attacker.example", "localhost.attacker.example", "127.0.0.1.attacker.example", "attacker.example.", "10.0.0.1", "0.0.0.0", "[::]",
			"[2001:db8::1]", "169.254.1.1", "2130706433", "127.1", "localhost..", "notlocalhost", "x.metrics.internal", "internal"}
		if admin == broker {
			mine = append(mine, "queue.example.com")
		} else {
			others = append(others, "queue.example.com")
		}
		for _, host := range mine {
			for _, h := range []string{host, host + ":" + port, host + ":80"} {
				if status, body := ask(t, http.MethodGet, admin, "/healthz", "", "Host", h); status != http.StatusOK {
					t.Errorf("GET for host %s: %d: %s", h, status, body)
				}
			}
		}
		for _, host := range others {
			for _, h := range []string{host, host + ":" + port} {
				for _, path := range []string{"/metrics", "/debug/pprof/heap", "/topology", "/metadata"} {
					if status, body := ask(t, http.MethodGet, admin, path, "", "Host", h); status != http.StatusMisdirectedRequest || !strings.Contains(body, "admin.hosts") {
						t.Errorf("GET %s for host %s: %d: %s", path, h, status, body)
					}
				}
			}
		}
		for _, request := range []string{"GET /metrics HTTP/1.0\r\n\r\n", "GET http://attacker.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
			if line := statusLine(t, admin, request); !strings.Contains(line, " 421 ") {
				t.Errorf("%q: %s", request, line)
			}
		}
	}
}

// statusLine sends a raw request and returns the first line of the response.
func statusLine(t testing.TB, admin, request string) string {
	t.Helper()
	nc, err := net.Dial("tcp", admin)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(nc, request); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(io.LimitReader(nc, 512))
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return line
}

const linger = `{"graph":"write","stage":"batch","key":"linger_us","value":%d}`

// Requests that another site's page can make a browser send change nothing.
func TestAdminTakesNoChangesFromOtherSites(t *testing.T) {
	b := newBroker(t)
	now := func() float64 {
		return document(t, b.must("", "config", "get", "limits", "write/batch", "--admin", b.admin, "--json"))["limits"].(map[string]any)["linger_us"].(float64)
	}
	_, port, _ := net.SplitHostPort(b.admin)
	const json = "application/json"
	for i, c := range []struct {
		want    int
		headers []string
	}{
		{403, []string{"Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site", "Origin", "https://attacker.example"}},
		{403, []string{"Content-Type", json, "Sec-Fetch-Site", "cross-site"}},
		{403, []string{"Content-Type", json, "Sec-Fetch-Site", "same-site"}}, // another port of localhost
		{403, []string{"Content-Type", json, "Sec-Fetch-Site", "CROSS-SITE"}},
		{403, []string{"Content-Type", json, "Origin", "https://attacker.example"}},
		{403, []string{"Content-Type", json, "Origin", "null"}},
		{403, []string{"Content-Type", json, "Origin", "http://127.0.0.1:1"}},
		{403, []string{"Content-Type", json, "Origin", "http://localhost:" + port}}, // the request's Host is 127.0.0.1
		{421, []string{"Content-Type", json, "Origin", "http://attacker.example:" + port, "Host", "attacker.example:" + port, "Sec-Fetch-Site", "same-origin"}},
		{415, []string{"Content-Type", "text/plain"}},
		{415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{415, []string{"Content-Type", "multipart/form-data; boundary=x"}},
		{415, []string{"Content-Type", "text/plain, application/json"}},
		{415, []string{"Content-Type", json, "Content-Type", "text/plain"}},
		{415, []string{"Content-Type", "application/jsonx"}},
		{415, nil},
		{200, []string{"Content-Type", json}},
		{200, []string{"Content-Type", "Application/JSON; charset=utf-8"}},
		{200, []string{"Content-Type", json, "Sec-Fetch-Site", "same-origin", "Origin", "http://" + b.admin}},
		{200, []string{"Content-Type", json, "Sec-Fetch-Site", "none"}},
		{200, []string{"Content-Type", json, "Origin", "http://" + b.admin}},
		{200, []string{"Content-Type", json, "Origin", "http://[::1]:" + port, "Host", "[::1]:" + port}},
	} {
		before, value := now(), 2000+i
		status, body := ask(t, http.MethodPost, b.admin, "/limits", fmt.Sprintf(linger, value), c.headers...)
		if status != c.want {
			t.Errorf("POST with %q: %d: %s", c.headers, status, body)
		}
		if after := now(); status != 200 && after != before || status == 200 && after != float64(value) {
			t.Errorf("POST with %q: answered %d, and linger_us went from %v to %v", c.headers, status, before, after)
		}
	}
	// Every endpoint that changes something, and some that change nothing.
	for _, path := range []string{"/limits", "/objects/give-up", "/metrics", "/nothing"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if status, body := ask(t, method, b.admin, path, "{}", "Content-Type", json, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
				t.Errorf("%s %s from another site: %d: %s", method, path, status, body)
			}
			if status, body := ask(t, method, b.admin, path, "{}", "Content-Type", "text/plain"); status != http.StatusUnsupportedMediaType {
				t.Errorf("%s %s with text: %d: %s", method, path, status, body)
			}
		}
	}
}

// Profiles are off by default, taken one at a time, and limited in duration.
func TestAdminProfiles(t *testing.T) {
	for name, start := range map[string]func(testing.TB, string) string{"broker": aBroker, "controller": aController} {
		off, on := start(t, ""), start(t, "debug = true\n")
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug"} {
			if status, body := ask(t, http.MethodGet, off, path, ""); status != http.StatusNotFound || !strings.Contains(body, "admin.debug") {
				t.Errorf("%s: GET %s: %d: %s", name, path, status, body)
			}
		}
		for _, seconds := range []string{"61", "86400", "-1", "0", "NaN", "Inf", "1e9", "x", "", "9223372036854775808", "1&seconds=100000"} {
			for _, profile := range []string{"profile", "trace", "heap"} {
				if status, body := ask(t, http.MethodGet, on, "/debug/pprof/"+profile+"?seconds="+seconds, ""); status != http.StatusBadRequest || !strings.Contains(body, "at most 60") {
					t.Errorf("%s: %s with seconds=%s: %d: %s", name, profile, seconds, status, body)
				}
			}
		}
		if status, _ := ask(t, http.MethodGet, on, "/debug/pprof/heap", "", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
			t.Errorf("%s: a page of another site is answered with %d", name, status)
		}
		if status, body := ask(t, http.MethodGet, on, "/debug/pprof/heap", ""); status != http.StatusOK || len(body) < 100 {
			t.Errorf("%s: heap: %d, %d bytes", name, status, len(body))
		}
		refused, taken := make(chan struct{}), make(chan int, 1)
		go func() {
			for n := 0; ; {
				if status, _ := ask(t, http.MethodGet, on, "/debug/pprof/profile?seconds=1", ""); status == http.StatusOK {
					n++
				}
				select {
				case <-refused:
					taken <- n
					return
				default:
				}
			}
		}()
		within(t, time.Minute, name+" says that a profile is being taken", func() bool {
			status, _ := ask(t, http.MethodGet, on, "/debug/pprof/goroutine", "")
			return status == http.StatusTooManyRequests
		})
		close(refused)
		if <-taken == 0 {
			t.Errorf("%s: no profile was taken", name)
		}
		if status, _ := ask(t, http.MethodGet, on, "/debug/pprof/goroutine", ""); status != http.StatusOK {
			t.Errorf("%s: the next is answered with %d", name, status)
		}
	}
}

// No value of any stage limit makes the broker grow or crash: values outside the bounds are
// refused.
func TestAdminBoundsEveryNumber(t *testing.T) {
	b := newBroker(t)
	stages := documents(t, b.must("", "config", "get", "limits", "--admin", b.admin, "--json"))
	before := b.metric("process_resident_memory_bytes")
	refused := 0
	for _, s := range stages {
		graph, stage, _ := strings.Cut(s["stage"].(string), "/")
		for key := range s["limits"].(map[string]any) {
			for _, n := range []int64{math.MinInt64, -1, 3_000_000, math.MaxInt32, math.MaxInt64} {
				body := fmt.Sprintf(`{"graph":%q,"stage":%q,"key":%q,"value":%d}`, graph, stage, key, n)
				if key == "depth" || key == "workers" {
					body = fmt.Sprintf(`{"graph":%q,"stage":%q,%q:%d}`, graph, stage, key, n)
				}
				status, text := ask(t, http.MethodPost, b.admin, "/limits", body, "Content-Type", "application/json")
				switch {
				case status == http.StatusUnprocessableEntity:
					refused++
				case status != http.StatusOK || n == math.MaxInt64 || n == math.MinInt64 || key == "depth" || key == "workers":
					t.Errorf("%s/%s %s=%d: %d: %s", graph, stage, key, n, status, text)
				}
			}
		}
	}
	if refused < 100 {
		t.Errorf("%d refused: the test looks in the wrong places", refused)
	}
	if after := b.metric("process_resident_memory_bytes"); after-before > 256<<20 {
		t.Errorf("the process went from %.0f to %.0f MiB", before/(1<<20), after/(1<<20))
	}
	for _, body := range []string{`{}`, `{"graph":"write","stage":"batch"}`, `{"graph":"write","stage":"batch","value":5}`, fmt.Sprintf(linger, 1) + "x",
		`{"graph":"write","stage":"batch","key":"linger_us","value":1e30}`, `{"graph":"write","stage":"batch","workers":1.5}`, `[]`, `null`,
		`{"graph":"write","stage":"batch","set":{"linger_us":null}}`, `{"graph":"write","stage":"batch","set":{"linger_us":"5"}}`,
		`{"graph":"write","stage":"batch","key":"linger_us"}`, `{"graph":"write","stage":"batch","key":"linger_us","value":null}`,
		`{"graph":"write","stage":"batch","depth":null}`, `{"graph":"write","stage":"batch","depth":0}`} {
		if status, text := ask(t, http.MethodPost, b.admin, "/limits", body, "Content-Type", "application/json"); status/100 != 4 {
			t.Errorf("%s: %d: %s", body, status, text)
		}
	}
	if status, _ := ask(t, http.MethodPost, b.admin, "/limits", `{"graph":"`+strings.Repeat("x", 2<<20)+`"}`, "Content-Type", "application/json"); status/100 != 4 {
		t.Errorf("a body of 2 MiB: %d", status)
	}
}

// Brokers and controllers report the same build information in /version, in the metrics and in
// `sluice version`.
func TestAdminTellsTheBuild(t *testing.T) {
	said := document(t, first(t, "version", "--json"))
	for name, start := range map[string]func(testing.TB, string) string{"broker": aBroker, "controller": aController} {
		admin := start(t, "")
		status, body := ask(t, http.MethodGet, admin, "/version", "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d: %s", name, status, body)
		}
		if v := document(t, body); !maps.Equal(v, said) || v["version"] == "" || v["revision"] == "" || !strings.HasPrefix(v["go_version"].(string), "go") {
			t.Errorf("%s: /version has %v, `sluice version` %v", name, v, said)
		}
		_, text := ask(t, http.MethodGet, admin, "/metrics", "")
		line := fmt.Sprintf(`sluice_build_info{go_version=%q,revision=%q,version=%q} 1`, said["go_version"], said["revision"], said["version"])
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s: the metrics have no %s", name, line)
		}
	}
}

// Clients that never finish their requests or never read the responses do not block health
// checks. A body whose Content-Length is too large is refused before it is read, and an error
// response does not echo the request.
func TestAdminPortAnswersHealthChecksAlways(t *testing.T) {
	for name, start := range map[string]func(testing.TB, string) string{"broker": aBroker, "controller": aController} {
		admin := start(t, "")
		send := func(request string) net.Conn {
			nc, err := net.Dial("tcp", admin)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			_ = nc.SetDeadline(time.Now().Add(time.Minute))
			_, _ = io.WriteString(nc, request) // fails if the server drops a client that does not read
			return nc
		}
		const head = "POST /limits HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		holders := map[string]string{
			"half a body":    head + "Content-Length: 100\r\n\r\n{\"gr",
			"half a chunk":   head + "Transfer-Encoding: chunked\r\n\r\n64\r\n{\"gr",
			"half a header":  "GET /metrics HTTP/1.1\r\nHost: local",
			"nothing":        "",
			"slow reader":    strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
			"checks no ends": strings.Repeat("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
		}
		for kind, request := range holders {
			for range 80 {
				send(request)
			}
			for range 10 {
				if line := statusLine(t, admin, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.Contains(line, " 200 ") {
					t.Errorf("%s, %s: a health check: %q", name, kind, line)
				}
			}
		}
		for _, length := range []string{"1048577", "1000000000000000"} {
			began := time.Now()
			if line := statusLine(t, admin, head+"Content-Length: "+length+"\r\n\r\n"); !strings.Contains(line, " 413 ") || time.Since(began) > 8*time.Second {
				t.Errorf("%s: a body of %s bytes: %q after %v", name, length, line, time.Since(began))
			}
		}
		if name == "broker" {
			status, body := ask(t, http.MethodPost, admin, "/limits", `{"graph":"`+strings.Repeat("x", 900_000)+`","stage":"s","set":{"a":1}}`, "Content-Type", "application/json")
			if status/100 != 4 || len(body) > 2000 {
				t.Errorf("an unknown graph: %d, %d bytes", status, len(body))
			}
		}
	}
}
