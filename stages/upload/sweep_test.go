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

// slow is a store whose first PUT takes long. It heeds its context, or lands all the same.
type slow struct {
	*objectstore.Store
	takes time.Duration
	deaf  bool
	keys  []string // of all that was asked for
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

// An object whose time is over is not committed, whenever its PUT ends; the uploader
// stops sending it and takes another one. Nothing is lost and nothing is there twice.
func TestAnUploadThatIsLateTakesANewObject(t *testing.T) {
	for _, test := range []struct {
		name  string
		takes time.Duration
		deaf  bool
		puts  int
	}{
		{"given up at its time", 24 * time.Hour, false, 2},
		{"stored a minute after it", 61 * time.Minute, true, 2},
		{"stored at the moment", time.Hour, true, 2},
		{"stored just before", time.Hour - time.Millisecond, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newState(), bucket(t)
				s := &slow{Store: b.Store, takes: test.takes, deaf: test.deaf}
				m, c := &memory{}, newCatalog(a)
				m.write(t, a, 3, -1)
				var log strings.Builder
				u := upload.NewUploader(upload.DefaultConfig(), upload.Deps{Log: m, Images: m, Metadata: c, Store: s,
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

// dump is metadata that has garbage.
type dump struct {
	mu    sync.Mutex
	left  []meta.Garbage
	looks int
	err   error
}

func (d *dump) Garbage(_ context.Context, most int) ([]meta.Garbage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks++
	return slices.Clone(d.left[:min(most, len(d.left))]), d.err
}

func (d *dump) Collected(_ context.Context, gone []meta.Garbage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = slices.DeleteFunc(d.left, func(g meta.Garbage) bool { return slices.Contains(gone, g) })
	return nil
}

func (d *dump) add(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range n {
		d.left = append(d.left, meta.Garbage{ID: meta.NewObjectID(), Final: n%2 == 0})
	}
}

func (d *dump) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.left)
}

func (d *dump) looked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.looks
}

func (d *dump) failing(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// removals is a store that deletes.
type removals struct {
	mu      sync.Mutex
	deleted map[string]int
	fail    func(key string) error
}

func (r *removals) Delete(_ context.Context, key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(key); err != nil {
			return err
		}
	}
	r.deleted[key]++
	return nil
}

func (r *removals) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.deleted)
}

func (r *removals) of(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deleted[key]
}

func (r *removals) failing(how func(key string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = how
}

// sweeping runs a sweep until the test ends.
func sweeping(t *testing.T, d *dump, r *removals) *upload.Uploader {
	t.Helper()
	u := upload.NewUploader(upload.DefaultConfig(), upload.Deps{Clock: clock.System{},
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { u.Sweep(ctx, d, r); close(over) }()
	t.Cleanup(func() { cancel(); <-over })
	synctest.Wait()
	return u
}

// All there is goes at once, more comes with the next look, and how long that takes
// can be changed.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := &dump{}, &removals{deleted: map[string]int{}}
		d.add(600)
		u := sweeping(t, d, r)
		if r.count() != 600 || d.count() != 0 {
			t.Fatalf("%d deleted, %d left", r.count(), d.count())
		}
		d.add(3)
		time.Sleep(time.Minute - time.Millisecond)
		synctest.Wait()
		if d.count() != 3 {
			t.Error("it looked too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if d.count() != 0 || r.count() != 603 {
			t.Errorf("after the pause %d are left", d.count())
		}
		for key, value := range map[string]int64{upload.TuneGarbageIntervalMs: 99, "other": 1000} {
			if err := u.Tune(key, value); err == nil || !strings.Contains(err.Error(), "garbage_check_interval_ms (at least 100)") {
				t.Errorf("%s=%d: %v", key, value, err)
			}
		}
		d.add(3)
		if err := u.Tune(upload.TuneGarbageIntervalMs, 5000); err != nil || u.Tunables()[upload.TuneGarbageIntervalMs] != 5000 {
			t.Error(err, u.Tunables())
		}
		synctest.Wait()
		if d.count() != 0 {
			t.Error("a new pause does not begin with a look")
		}
		looks := d.looked()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := d.looked() - looks; n != 12 {
			t.Errorf("%d looks in a minute, want one in 5 s", n)
		}
	})
}

// What cannot be deleted is tried again and holds nothing else up. A store that is
// away is not asked for each object in turn.
func TestSweepOfAStoreThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, r := &dump{}, &removals{deleted: map[string]int{}}
		d.add(100)
		kept, asked := object.Key(d.left[10].ID), 0
		r.fail = func(key string) error {
			if key == kept {
				return errors.New("locked for legal reasons")
			}
			return nil
		}
		sweeping(t, d, r)
		if d.count() != 1 || r.count() != 99 {
			t.Fatalf("%d left, %d deleted", d.count(), r.count())
		}
		d.add(100)
		r.failing(func(string) error {
			asked++
			return fmt.Errorf("no: %w", objectstore.ErrUnavailable)
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked != 1 || d.count() != 101 {
			t.Errorf("asked %d times of a store that is away, %d left", asked, d.count())
		}
		r.failing(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if d.count() != 0 || r.of(kept) != 1 {
			t.Errorf("%d left when all is well again", d.count())
		}
		d.add(1)
		d.failing(meta.ErrUnavailable)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.failing(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if d.count() != 0 {
			t.Error("the sweep does not go on after the metadata was away")
		}
	})
}
