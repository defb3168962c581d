package storetest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/objectstore"
)

const (
	small = 100_000
	large = 17<<20 + 17 // several parts
)

// patient returns a config with short request timeouts, for faults in which the server is
// silent. They are not too short: unlike GCS, fake-gcs-server appends a chunk twice if it is
// sent twice.
func patient() objectstore.Config {
	cfg := fast()
	cfg.Stall = 2 * time.Second
	return cfg
}

// faults runs every kind of fault and checks how a Store handles it.
func faults(t *testing.T, b *backend) {
	for _, f := range []struct {
		name string
		test func(*testing.T, *backend)
	}{
		{"1 internal error", passing(fast(), 2, answer(500, "InternalError"))},
		{"2 slow down", passing(fast(), 2, answer(503, "SlowDown"))},
		{"3 too many requests", passing(fast(), 2, answer(429, "TooManyRequests"))},
		{"4 timeout", passing(patient(), 1, silence)},
		{"5 timeout after success", timeoutAfterSuccess},
		{"6 reset while sending", passing(fast(), 2, resetSending)},
		{"6 reset while answering", resetWhileAnswering},
		{"7 lost race", lostRace},
		{"8 slow", slow},
		{"9 partial multipart", partialMultipart},
		{"10 truncated range", truncatedRange},
		{"11 late zombie put", lateZombie},
		{"12 not found after put", notFoundAfterPut},
		{"unavailable for long", unavailable},
		{"refused", refused},
		{"fewer requests", fewerRequests},
		{"bandwidth", bandwidth},
	} {
		t.Run(f.name, func(t *testing.T) { f.test(t, b) })
	}
	for _, r := range b.proxy.seen {
		if strings.Contains(r, "list-type") || strings.Contains(r, "comp=list&") || strings.HasPrefix(r, "GET") && strings.HasSuffix(r, "/o") {
			t.Errorf("the store was asked to list keys, and lists may be stale: %s", r)
		}
	}
}

// passing returns a test that every operation succeeds although its first requests hit the
// fault.
func passing(cfg objectstore.Config, times int, do func(http.ResponseWriter, *http.Request, http.HandlerFunc)) func(*testing.T, *backend) {
	return func(t *testing.T, b *backend) {
		s, p := b.open(t, cfg), b.proxy
		meeting := func(f func()) {
			t.Helper()
			if hits := p.during(f, &fault{match: anything, times: times, do: do}); hits[0] != times {
				t.Errorf("the fault happened %d times", hits[0])
			}
		}
		for _, n := range []int{small, large} {
			key, body := newKey(), content(n, 2)
			meeting(func() { put(t, s, key, body) })
			holds(t, s, key, body)
			if n == large {
				continue // the other operations take one request each
			}
			meeting(func() {
				if size, err := s.Size(ctx, key); err != nil || size != int64(n) {
					t.Errorf("size %d, %v", size, err)
				}
			})
			meeting(func() { read(t, s, key, body, 1000, 5000) })
			meeting(func() {
				if err := s.Delete(ctx, key); err != nil {
					t.Errorf("delete: %v", err)
				}
			})
			if _, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
				t.Errorf("after delete: %v", err)
			}
		}
	}
}

func anything(*http.Request) bool { return true }

func get(r *http.Request) bool { return r.Method == http.MethodGet }

func put(t *testing.T, s *store, key string, b []byte) {
	t.Helper()
	if err := s.Put(ctx, key, stream(b)); err != nil {
		t.Errorf("put: %v", err)
	}
}

func read(t *testing.T, s *store, key string, b []byte, off, n int) {
	t.Helper()
	got, err := s.Object(key).ReadRange(ctx, int64(off), int64(n))
	if err != nil || !bytes.Equal(got, b[off:off+n]) {
		t.Errorf("range [%d, +%d): %d bytes, %v", off, n, len(got), err)
	}
}

// timeoutAfterSuccess: the object was stored, but the response was lost. The next attempt
// finds that the key already has the same contents.
func timeoutAfterSuccess(t *testing.T, b *backend) {
	s := b.open(t, patient())
	for _, n := range []int{small, large} {
		key, body := newKey(), content(n, 3)
		hits := b.proxy.during(func() { put(t, s, key, body) }, &fault{match: b.commits, times: 1, do: silenceAfter})
		if hits[0] != 1 {
			t.Fatalf("the fault happened %d times", hits[0])
		}
		holds(t, s, key, body)
		if err := s.Put(ctx, key, stream(content(n, 4))); !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("different contents: %v", err)
		}
	}
}

// resetWhileAnswering: a range read continues where the connection was reset.
func resetWhileAnswering(t *testing.T, b *backend) {
	s := b.open(t, fast())
	key, body := newKey(), content(large, 5)
	put(t, s, key, body)
	hits := b.proxy.during(func() { read(t, s, key, body, 12345, 8<<20) }, &fault{match: get, times: 3, do: resetAnswering})
	if hits[0] != 3 {
		t.Errorf("the fault happened %d times", hits[0])
	}
}

// lostRace: another writer stores a different object just before ours becomes visible.
func lostRace(t *testing.T, b *backend) {
	s, other := b.open(t, fast()), b.open(t, fast())
	for _, n := range []int{small, large} {
		key, theirs := newKey(), content(n, 6)
		hits := b.proxy.during(func() {
			if err := s.Put(ctx, key, stream(content(n, 7))); !errors.Is(err, objectstore.ErrExists) {
				t.Errorf("the losing put: %v", err)
			}
		}, &fault{match: b.commits, times: 1, do: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
			put(t, other, key, theirs)
			pass(w, r)
		}})
		if hits[0] != 1 {
			t.Fatalf("the fault happened %d times", hits[0])
		}
		holds(t, s, key, theirs)
	}
}

// slow: a slow response is not given up as long as it makes progress.
func slow(t *testing.T, b *backend) {
	cfg := patient()
	s := b.open(t, cfg)
	key, body := newKey(), content(small, 8)
	put(t, s, key, body)
	began := time.Now()
	hits := b.proxy.during(func() { read(t, s, key, body, 0, small) }, &fault{match: get, times: always, do: slowly(cfg.Stall / 5)})
	if took := time.Since(began); hits[0] != 1 || took < cfg.Stall {
		t.Errorf("%d requests in %s", hits[0], took)
	}
}

// partialMultipart: some parts of an upload can never be sent, or its only request cannot.
// No object appears, and the key can be used again.
func partialMultipart(t *testing.T, b *backend) {
	s := b.open(t, fast())
	key, body := newKey(), content(large, 9)
	part := func(r *http.Request) bool {
		return (r.Method == http.MethodPut || r.Method == http.MethodPost) && r.ContentLength > 1<<20
	}
	skip := 2
	if b.one {
		skip = 0
	}
	hits := b.proxy.during(func() {
		if err := s.Put(ctx, key, stream(body)); !errors.Is(err, objectstore.ErrUnavailable) {
			t.Errorf("put: %v", err)
		}
	}, &fault{match: part, skip: skip, times: always, do: answer(500, "InternalError")})
	if hits[0] < 2 {
		t.Errorf("the fault happened %d times", hits[0])
	}
	if size, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("a partial object of %d bytes is visible: %v", size, err)
	}
	put(t, s, key, body)
	holds(t, s, key, body)
}

// truncatedRange: half a range in a response that looks complete is an error.
func truncatedRange(t *testing.T, b *backend) {
	cfg := fast()
	cfg.Attempts = 5
	s := b.open(t, cfg)
	key, body := newKey(), content(large, 10)
	put(t, s, key, body)
	b.proxy.during(func() { read(t, s, key, body, 999, 3<<20) }, &fault{match: get, times: 2, do: truncate})
	b.proxy.during(func() {
		if got, err := s.Object(key).ReadRange(ctx, 0, 4<<20); err == nil {
			t.Errorf("a range that is always truncated was read, %d bytes", len(got))
		}
	}, &fault{match: get, times: always, do: truncate})
}

// lateZombie: an abandoned put arrives after all. It cannot replace the object that its
// successor stored; if it brings an object back after a delete, a second delete removes it.
func lateZombie(t *testing.T, b *backend) {
	s, p := b.open(t, fast()), b.proxy
	key, body := newKey(), content(small, 11)
	z := newZombie(p)
	p.during(func() { put(t, s, key, body) }, &fault{match: b.commits, times: 1, do: z.do})
	if status := z.deliver(); status < 400 {
		t.Errorf("the late put was accepted: %d", status)
	}
	holds(t, s, key, body)

	cfg := fast()
	cfg.Attempts = 1
	s = b.open(t, cfg)
	key, z = newKey(), newZombie(p)
	p.during(func() {
		if err := s.Put(ctx, key, stream(body)); !errors.Is(err, objectstore.ErrUnavailable) {
			t.Errorf("put: %v", err)
		}
	}, &fault{match: b.commits, times: 1, do: z.do})
	if err := s.Delete(ctx, key); err != nil {
		t.Errorf("delete: %v", err)
	}
	if status := z.deliver(); status >= 300 {
		t.Errorf("the late put was refused: %d", status)
	}
	holds(t, s, key, body)
	if err := s.Delete(ctx, key); err != nil {
		t.Errorf("second delete: %v", err)
	}
	if _, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("after the second delete: %v", err)
	}
}

// notFoundAfterPut: a read is retried if a replica does not have the object yet.
func notFoundAfterPut(t *testing.T, b *backend) {
	s := b.open(t, fast())
	key, body := newKey(), content(small, 12)
	put(t, s, key, body)
	stale := func() *fault { return &fault{match: anything, times: 2, do: answer(404, "NoSuchKey")} }
	b.proxy.during(func() { read(t, s, key, body, 0, small) }, stale())
	b.proxy.during(func() {
		if n, err := s.Size(ctx, key); err != nil || n != small {
			t.Errorf("size %d, %v", n, err)
		}
	}, stale())
	b.proxy.during(func() {
		if _, err := s.Object(key).ReadRange(ctx, 0, 1); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("permanently not found: %v", err)
		}
	}, &fault{match: anything, times: always, do: answer(404, "NoSuchKey")})
}

// unavailable: the caller gets an error after the attempts that the config allows, or when
// its context ends.
func unavailable(t *testing.T, b *backend) {
	cfg := fast()
	cfg.Attempts = 3
	s := b.open(t, cfg)
	key := newKey()
	down := func() *fault { return &fault{match: anything, times: always, do: answer(503, "SlowDown")} }
	hits := b.proxy.during(func() {
		if _, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrUnavailable) {
			t.Errorf("size: %v", err)
		}
	}, down())
	if hits[0] != cfg.Attempts {
		t.Errorf("%d attempts, want %d", hits[0], cfg.Attempts)
	}
	for name, f := range map[string]func(context.Context) error{
		"put":    func(ctx context.Context) error { return s.Put(ctx, key, stream(content(small, 1))) },
		"read":   func(ctx context.Context) error { _, err := s.Object(key).ReadRange(ctx, 0, 1); return err },
		"delete": func(ctx context.Context) error { return s.Delete(ctx, key) },
	} {
		b.proxy.during(func() {
			if err := f(ctx); !errors.Is(err, objectstore.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}, down())
	}
	cfg.Attempts, cfg.FirstPause, cfg.LastPause = 1000, time.Minute, time.Hour
	s = b.open(t, cfg)
	b.proxy.during(func() {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := s.Put(ctx, key, stream(content(small, 1))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("put: %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("a put with a deadline of 200 ms took %s", took)
		}
	}, down())
}

// refused: an error that a retry cannot fix is returned at once, with what to do.
func refused(t *testing.T, b *backend) {
	s, p := b.open(t, fast()), b.proxy
	key := newKey()
	for name, c := range map[string]struct {
		do   func(http.ResponseWriter, *http.Request, http.HandlerFunc)
		says string
	}{
		"denied":    {answer(403, "AccessDenied"), "allow these credentials"},
		"malformed": {answer(400, "InvalidRequest"), "does not take this request"},
	} {
		for _, f := range []func() error{
			func() error { return s.Put(ctx, key, stream(content(small, 1))) },
			func() error { return s.Delete(ctx, key) },
			func() error { _, err := s.Object(key).ReadRange(ctx, 0, 1); return err },
		} {
			hits := p.during(func() {
				if err := f(); !errors.Is(err, objectstore.ErrRefused) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v", name, err)
				}
			}, &fault{match: anything, times: always, do: c.do})
			if hits[0] != 1 {
				t.Errorf("%s: %d attempts", name, hits[0])
			}
		}
	}
	wrong := *b
	wrong.url = b.wrongBucket
	if err := wrong.open(t, fast()).Check(ctx); !errors.Is(err, objectstore.ErrRefused) || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("a missing bucket: %v", err)
	}
}

// fewerRequests: SlowDown halves the limit on requests in flight, and success raises it.
func fewerRequests(t *testing.T, b *backend) {
	cfg := fast()
	cfg.MinRequests, cfg.MaxRequests = 2, 16
	reg := prometheus.NewRegistry()
	s := b.open(t, cfg, objectstore.WithRegistry(reg))
	key, body := newKey(), content(small, 13)
	put(t, s, key, body)
	if n := gauge(t, reg, "sluice_objectstore_concurrency_limit"); n != 16 {
		t.Fatalf("limit %v at the start", n)
	}
	b.proxy.during(func() { read(t, s, key, body, 0, 10) }, &fault{match: anything, times: 3, do: answer(503, "SlowDown")})
	if n := gauge(t, reg, "sluice_objectstore_concurrency_limit"); n != 2 {
		t.Errorf("limit %v after three SlowDowns, one after another", n)
	}
	for range 100 {
		read(t, s, key, body, 0, 10)
	}
	if n := gauge(t, reg, "sluice_objectstore_concurrency_limit"); n < 3 {
		t.Errorf("limit %v after 100 successes", n)
	}
	if n := gauge(t, reg, "sluice_objectstore_requests_in_flight"); n != 0 {
		t.Errorf("%v requests in flight when there are none", n)
	}
	if n := gauge(t, reg, "sluice_objectstore_throttled_total"); n != 3 {
		t.Errorf("%v throttled", n)
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// bandwidth: an upload takes as long as the limit implies, and does not count as stalled.
func bandwidth(t *testing.T, b *backend) {
	cfg := patient()
	cfg.UploadBytesPerSecond = 64 << 10
	cfg.Stall = 900 * time.Millisecond // waiting for bandwidth, a second at a time, is not a stall
	s := b.open(t, cfg)
	key, body := newKey(), content(192<<10, 14) // a third of which is sent at once
	began := time.Now()
	put(t, s, key, body)
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	holds(t, s, key, body)
}
