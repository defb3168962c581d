package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/objectstore"
)

// TestStores runs one suite against every store, and the faults against those behind a
// network.
func TestStores(t *testing.T) {
	for _, open := range []struct {
		name  string
		start func(*testing.T) *backend
		one   bool // by PutSized, else by Put
	}{
		{"file", func(t *testing.T) *backend { return &backend{name: "file", url: "file://" + t.TempDir()} }, false},
		{"mem", func(*testing.T) *backend { return &backend{name: "mem", url: "mem://"} }, false},
		{"s3", startS3, false},
		{"gcs", startGCS, false},
		{"azure", startAzure, false},
		{"s3 in one request", startS3, true},
		{"azure in one request", startAzure, true},
	} {
		t.Run(open.name, func(t *testing.T) {
			b := open.start(t)
			b.one = open.one
			if open.one {
				t.Run("one request", func(t *testing.T) { oneRequest(t, b) })
			}
			t.Run("conformance", func(t *testing.T) { conformance(t, b.open(t, fast())) })
			if b.proxy != nil {
				t.Run("faults", func(t *testing.T) { faults(t, b) })
			}
		})
	}
}

// Over TLS the SDK sends checksums after the contents, without TLS before them.
func TestS3OverTLS(t *testing.T) {
	b := startS3TLS(t)
	for _, b.one = range []bool{false, true} {
		t.Run(fmt.Sprintf("one request %v", b.one), func(t *testing.T) { conformance(t, b.open(t, fast())) })
	}
}

var ctx = context.Background()

func newKey() string { return "ab/ab12-" + uuid.NewString() + ".seg" }

// content returns n bytes that differ by seed.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := 0; i < n; i += 4096 {
		v := r.Uint64()
		for j := i; j < min(i+4096, n); j++ {
			b[j] = byte(v >> (8 * (j % 8)) * uint64(j+1))
		}
	}
	return b
}

// stream hides a reader's Seek method, since the uploader's reader has none.
func stream(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b)) }

func conformance(t *testing.T, s *store) {
	t.Run("check", func(t *testing.T) {
		if err := s.Check(ctx); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("missing", func(t *testing.T) { missing(t, s) })
	for _, n := range []int{0, 1, 100_000, 5 << 20, 23<<20 + 17} {
		t.Run(fmt.Sprint("object of ", n), func(t *testing.T) { lifeOfAnObject(t, s, content(n, 1)) })
	}
	t.Run("race", func(t *testing.T) { race(t, s, 1000) })
	t.Run("race of large objects", func(t *testing.T) { race(t, s, 17<<20) })
	t.Run("body that ends early", func(t *testing.T) {
		for _, n := range []int{0, 1000, 18 << 20} {
			bodyBreaks(t, s, n)
		}
	})
	t.Run("cancelled", func(t *testing.T) { cancelled(t, s) })
}

// oneRequest: an object larger than a part goes in one request, up to the limit for one
// request; a size that does not match the contents leaves no object.
func oneRequest(t *testing.T, b *backend) {
	cfg := fast()
	cfg.MultipartThresholdBytes = large
	reg := prometheus.NewRegistry()
	s := b.open(t, cfg, objectstore.WithRegistry(reg))
	requests := func() float64 { return counter(t, reg, "sluice_objectstore_requests_total", "op", "put") }
	put(t, s, newKey(), content(large, 1))
	if n := requests(); n != 1 {
		t.Errorf("%d bytes took %v requests", large, n)
	}
	put(t, s, newKey(), content(large+1, 1))
	if n := requests(); n < 4 {
		t.Errorf("%d bytes took %v requests", large+1, n-1)
	}
	for _, said := range []int64{small - 1, small + 1} {
		key := newKey()
		err := s.PutSized(ctx, key, said, func() io.ReadCloser { return io.NopCloser(stream(content(small, 1))) })
		if err == nil {
			t.Errorf("%d bytes were accepted as %d", small, said)
		}
		if n, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
			t.Errorf("%d bytes declared as %d left an object of %d, %v", small, said, n, err)
		}
	}
}

func counter(t *testing.T, reg *prometheus.Registry, name, label, value string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

func missing(t *testing.T, s *store) {
	key := newKey()
	if _, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("size: %v", err)
	}
	if _, err := s.Object(key).ReadRange(ctx, 0, 1); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := s.Delete(ctx, key); err != nil {
		t.Errorf("delete: %v", err)
	}
}

func lifeOfAnObject(t *testing.T, s *store, b []byte) {
	key := newKey()
	if err := s.Put(ctx, key, stream(b)); err != nil {
		t.Fatal(err)
	}
	holds(t, s, key, b)
	if err := s.Put(ctx, key, stream(b)); err != nil {
		t.Errorf("same contents again: %v", err)
	}
	other := append([]byte("x"), b...)
	if err := s.Put(ctx, key, stream(other)); !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("different length: %v", err)
	}
	if len(b) > 0 {
		other = bytes.Clone(b)
		other[len(b)/2] ^= 1
		if err := s.Put(ctx, key, stream(other)); !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("one bit different: %v", err)
		}
	}
	holds(t, s, key, b)
	r := s.Object(key)
	for _, c := range [][2]int{{0, 1}, {len(b) / 3, len(b) / 2}, {len(b) - 1, 1}, {len(b), 0}} {
		if off, n := c[0], c[1]; off >= 0 && off+n <= len(b) {
			if got, err := r.ReadRange(ctx, int64(off), int64(n)); err != nil || !bytes.Equal(got, b[off:off+n]) {
				t.Errorf("range [%d, +%d): %d bytes, %v", off, n, len(got), err)
			}
		}
	}
	for _, off := range []int{max(0, len(b)-1), len(b), len(b) + 10} {
		if got, err := r.ReadRange(ctx, int64(off), 2); err == nil {
			t.Errorf("range [%d, +2) past the end gave %d bytes", off, len(got))
		}
	}
	for range 2 {
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("size after delete: %v", err)
	}
}

func holds(t *testing.T, s *store, key string, b []byte) {
	t.Helper()
	if n, err := s.Size(ctx, key); err != nil || n != int64(len(b)) {
		t.Fatalf("size %d, %v; want %d", n, err, len(b))
	}
	got, err := s.Object(key).ReadRange(ctx, 0, int64(len(b)))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("the object is not what was put: %d bytes, %v", len(got), err)
	}
}

// race has 16 writers put different objects under one key: exactly one wins.
func race(t *testing.T, s *store, n int) {
	key := newKey()
	writers := 16
	if n > 1<<20 {
		writers = 4
	}
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.Put(ctx, key, stream(content(n, uint64(i)))) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, objectstore.ErrExists):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("no writer won")
	}
	holds(t, s, key, content(n, uint64(winner)))
}

// bodyBreaks: a body that fails after n bytes leaves no object, and the error is its own.
func bodyBreaks(t *testing.T, s *store, n int) {
	key := newKey()
	broken := errors.New("the WAL cannot be read")
	r, w := io.Pipe()
	go func() {
		w.Write(content(n, 1))
		w.CloseWithError(broken)
	}()
	if err := s.Put(ctx, key, r); !errors.Is(err, broken) {
		t.Errorf("a body that fails after %d bytes: %v", n, err)
	}
	if size, err := s.Size(ctx, key); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("a body that fails after %d bytes left an object of %d bytes, %v", n, size, err)
	}
}

func cancelled(t *testing.T, s *store) {
	key := newKey()
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	go func() {
		w.Write(content(18<<20, 1))
		cancel()
		w.CloseWithError(context.Canceled)
	}()
	if err := s.Put(ctx, key, r); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Size(context.Background(), key); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("a cancelled put left an object: %v", err)
	}
	if _, err := s.Size(ctx, key); !errors.Is(err, context.Canceled) {
		t.Errorf("size: %v", err)
	}
}

// store is a Store with one of its two put methods.
type store struct {
	*objectstore.Store
	one bool
}

// Put stores the contents of r, with PutSized if the store is set to.
func (s *store) Put(ctx context.Context, key string, r io.Reader) error {
	if !s.one {
		return s.Store.Put(ctx, key, r)
	}
	b, broken := io.ReadAll(r)
	size := int64(len(b))
	if broken != nil {
		size++
	}
	return s.PutSized(ctx, key, size, func() io.ReadCloser {
		if broken == nil {
			return io.NopCloser(stream(b))
		}
		return io.NopCloser(io.MultiReader(stream(b), iotest.ErrReader(broken)))
	})
}
