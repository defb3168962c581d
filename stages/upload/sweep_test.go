package upload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/stages/upload"
)

// slow is a store whose first PUT takes long. If deaf, that PUT ignores its context and
// completes anyway.
type slow struct {
	*objectstore.Store
	takes time.Duration
	deaf  bool
	keys  []string // of all PUTs
}

func (s *slow) PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error {
	s.keys = append(s.keys, key)
	if len(s.keys) > 1 {
		return s.Store.PutSized(ctx, key, size, open)
	}
	if s.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-time.After(s.takes):
		return s.Store.PutSized(ctx, key, size, open)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An object whose prepared time is over is not committed, whenever its PUT ends. The
// uploader abandons it and starts another one; nothing is lost or duplicated.
func TestLateUploadTakesANewObject(t *testing.T) {
	for _, test := range []struct {
		name  string
		takes time.Duration
		deaf  bool
		puts  int
	}{
		{"abandoned at its deadline", 24 * time.Hour, false, 2},
		{"stored a minute later", 61 * time.Minute, true, 2},
		{"stored at the deadline", time.Hour, true, 2},
		{"stored just before", time.Hour - time.Millisecond, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newState(), bucket(t)
				s := &slow{Store: b.Store, takes: test.takes, deaf: test.deaf}
				m, c := &memory{}, newCatalog(a)
				m.catalog = c
				m.write(t, a, 3, -1)
				var log strings.Builder
				u := upload.NewUploader(upload.TestedConfig(), upload.Deps{Log: m, Images: m, Metadata: c, Store: s,
					Clock: clock.System{}, Logger: slog.New(slog.NewTextHandler(&log, nil)), Registry: prometheus.NewRegistry()})
				if err := runOne(t, t.Context(), u, &upload.Cut{End: m.end(), States: []*partition.State{a}}); err != nil {
					t.Fatal(err)
				}
				verify(t, c, b, a)
				if len(s.keys) != test.puts || len(c.prepared) != test.puts {
					t.Fatalf("%d PUTs of %d prepared objects, want %d", len(s.keys), len(c.prepared), test.puts)
				}
				if got := object.Key(c.parts[a.ID].Objects[0].ID); got != s.keys[test.puts-1] {
					t.Errorf("the partition has %s, PUTs were %v", got, s.keys)
				}
				if !s.deaf && !strings.Contains(log.String(), "raise object_storage.prepare_timeout_ms") {
					t.Errorf("the log does not say what to do:\n%s", &log)
				}
			})
		})
	}
}

// dump is metadata that lists garbage, and the store that holds it.
type dump struct {
	mu      sync.Mutex
	left    []meta.Garbage
	looks   int
	deleted map[string]int
	asked   int
	fail    func(key string) error // fails a deletion, or a listing if key is empty; may be nil
}

func (d *dump) Garbage(_ context.Context, most int) ([]meta.Garbage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks++
	return slices.Clone(d.left[:min(most, len(d.left))]), d.refusal("")
}

func (d *dump) Collected(_ context.Context, gone []meta.Garbage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = slices.DeleteFunc(d.left, func(g meta.Garbage) bool { return slices.Contains(gone, g) })
	return nil
}

func (d *dump) Delete(_ context.Context, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if err := d.refusal(key); err != nil {
		return err
	}
	d.deleted[key]++
	return nil
}

func (d *dump) refusal(key string) error {
	if d.fail == nil {
		return nil
	}
	return d.fail(key)
}

// add makes n objects garbage and returns the key of the first.
func (d *dump) add(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := len(d.left)
	for i := range n {
		d.left = append(d.left, meta.Garbage{ID: meta.NewObjectID(), Final: i%2 == 0})
	}
	return object.Key(d.left[first].ID)
}

// breaks makes the store or the metadata fail from now on; nil makes them work again.
func (d *dump) breaks(fail func(key string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.asked = fail, 0
}

// after lets time pass and checks how many objects are left, and how many have
// been deleted.
func (d *dump) after(t *testing.T, pause time.Duration, left, deleted int) {
	t.Helper()
	time.Sleep(pause)
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.left) != left || len(d.deleted) != deleted {
		t.Errorf("%d objects are left and %d deleted, want %d and %d", len(d.left), len(d.deleted), left, deleted)
	}
}

func (d *dump) counts() (looks, asked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.looks, d.asked
}

// sweeping runs a sweep until the test ends.
func sweeping(t *testing.T, d *dump) *upload.Uploader {
	t.Helper()
	u := upload.NewUploader(upload.TestedConfig(), upload.Deps{Clock: clock.System{},
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { u.Sweep(ctx, d, d); close(over) }()
	t.Cleanup(func() { cancel(); <-over })
	return u
}

// Existing garbage is deleted at once, later garbage by the next sweep, and the
// interval can be changed.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dump{deleted: map[string]int{}}
		d.add(600)
		u := sweeping(t, d)
		d.after(t, 0, 0, 600)
		d.add(3)
		d.after(t, time.Minute-time.Millisecond, 3, 600)
		d.after(t, 2*time.Millisecond, 0, 603)
		for key, value := range map[string]int64{"garbage_check_interval_ms": 99, "other": 1000} {
			if err := u.Tune(map[string]int64{key: value}); err == nil || !strings.Contains(err.Error(), "garbage_check_interval_ms") {
				t.Errorf("%s=%d: %v", key, value, err)
			}
		}
		d.add(3)
		if err := u.Tune(map[string]int64{"garbage_check_interval_ms": 5000}); err != nil || u.Tunables()["garbage_check_interval_ms"] != 5000 {
			t.Error(err, u.Tunables())
		}
		d.after(t, 0, 0, 606) // a new interval starts with a sweep
		before, _ := d.counts()
		d.after(t, time.Minute, 0, 606)
		if looks, _ := d.counts(); looks-before != 12 {
			t.Errorf("%d sweeps in a minute, want one every 5 s", looks-before)
		}
	})
}

// A failed deletion is retried and does not block the others. If the store is
// unavailable, it is not asked for every object.
func TestSweepWithAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dump{deleted: map[string]int{}}
		kept := d.add(100)
		d.breaks(func(key string) error {
			if key == kept {
				return errors.New("locked for legal reasons")
			}
			return nil
		})
		sweeping(t, d)
		d.after(t, 0, 1, 99)
		d.add(100)
		d.breaks(func(key string) error {
			if key == "" {
				return nil
			}
			return fmt.Errorf("no: %w", objectstore.ErrUnavailable)
		})
		d.after(t, time.Minute, 101, 99)
		if _, asked := d.counts(); asked != 1 {
			t.Errorf("asked an unavailable store %d times", asked)
		}
		d.breaks(nil)
		d.after(t, time.Minute, 0, 200)
		d.add(1)
		d.breaks(func(string) error { return meta.ErrUnavailable })
		d.after(t, time.Minute, 1, 200)
		if _, asked := d.counts(); asked != 0 {
			t.Error("it deletes although the metadata is unavailable")
		}
		d.breaks(nil)
		d.after(t, time.Minute, 0, 201)
	})
}
