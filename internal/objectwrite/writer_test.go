package objectwrite_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/objectwrite"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

var parts = []topic.Partition{{Topic: topic.ID{1}, Index: 2}}

// steps records the steps of a write, and injects failures of the metadata and the store.
type steps struct {
	*objectstore.Store
	dir     string
	done    []string
	prepare error
	stall   bool // the store reads nothing until its context ends
}

func (s *steps) PrepareObject(_ context.Context, _ meta.ObjectID, p []topic.Partition, _ time.Duration) error {
	s.done = append(s.done, fmt.Sprint("prepare ", len(p)))
	return s.prepare
}

func (s *steps) PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error {
	if s.stall {
		<-ctx.Done()
		return ctx.Err()
	}
	err := s.Store.PutSized(ctx, key, size, open)
	s.done = append(s.done, "put")
	return err
}

func (s *steps) Put(ctx context.Context, key string, r io.Reader) error {
	err := s.Store.Put(ctx, key, r)
	s.done = append(s.done, "put")
	return err
}

// keys returns the keys in the store.
func (s *steps) keys(t *testing.T) (keys []string) {
	t.Helper()
	if err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			keys = append(keys, filepath.ToSlash(strings.TrimPrefix(path, s.dir+"/")))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}

func newSteps(t *testing.T) (*steps, *objectwrite.Writer) {
	t.Helper()
	dir := t.TempDir()
	store, err := objectstore.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s := &steps{Store: store, dir: dir}
	return s, &objectwrite.Writer{Metadata: s, Store: s, Clock: clock.System{}, TTL: time.Minute}
}

// fill appends one batch, then fails with err.
func fill(t *testing.T, err error) func(context.Context, meta.ObjectID, *object.Writer) error {
	t.Helper()
	b := record.NewBuilder()
	b.Add(1, nil, make([]byte, 1000))
	batch, buildErr := b.Build()
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return func(_ context.Context, _ meta.ObjectID, out *object.Writer) error {
		return errors.Join(out.Append(parts[0], batch), err)
	}
}

// sizeOf returns the size of the object that fill builds.
func sizeOf(t *testing.T) int64 {
	t.Helper()
	s, w := newSteps(t)
	if err := w.Write(t.Context(), &objectwrite.Object{Partitions: parts, Fill: fill(t, nil), Commit: func(context.Context, meta.ObjectID) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	n, err := s.Size(t.Context(), s.keys(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStepsInTheirOrder(t *testing.T) {
	for _, size := range []int64{0, sizeOf(t)} {
		s, w := newSteps(t)
		err := w.Write(t.Context(), &objectwrite.Object{Partitions: parts, Size: size, Fill: fill(t, nil),
			Commit: func(_ context.Context, id meta.ObjectID) error {
				if keys := s.keys(t); !slices.Equal(keys, []string{object.Key(id)}) {
					t.Errorf("at the commit of %s the store has %q", id, keys)
				}
				s.done = append(s.done, "commit")
				return nil
			}})
		if want := []string{"prepare 1", "put", "commit"}; err != nil || !slices.Equal(s.done, want) {
			t.Errorf("size %d: %q, %v", size, s.done, err)
		}
	}
}

func TestNothingFollowsAFailedStep(t *testing.T) {
	boom := errors.New("boom")
	never := func(context.Context, meta.ObjectID) error { t.Error("committed"); return nil }

	s, w := newSteps(t)
	s.prepare = boom
	if err := w.Write(t.Context(), &objectwrite.Object{Partitions: parts, Fill: fill(t, nil), Commit: never}); !errors.Is(err, boom) || len(s.keys(t)) != 0 {
		t.Errorf("after a failed prepare: %v, %q", err, s.keys(t))
	}
	for _, size := range []int64{0, sizeOf(t)} {
		s, w = newSteps(t)
		if err := w.Write(t.Context(), &objectwrite.Object{Partitions: parts, Size: size, Fill: fill(t, boom), Commit: never}); !errors.Is(err, boom) || len(s.keys(t)) != 0 {
			t.Errorf("size %d: after contents that failed: %v, %q", size, err, s.keys(t))
		}
	}
	_, w = newSteps(t)
	if err := w.Write(t.Context(), &objectwrite.Object{Partitions: parts, Fill: fill(t, nil), Commit: func(context.Context, meta.ObjectID) error { return boom }}); !errors.Is(err, boom) {
		t.Errorf("a failed commit: %v", err)
	}
}

func TestPutEndsAtThePreparedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := newSteps(t)
		s.stall = true
		began := time.Now()
		err := w.Write(t.Context(), &objectwrite.Object{Partitions: parts, Size: 1, Fill: fill(t, nil),
			Commit: func(context.Context, meta.ObjectID) error { t.Error("committed"); return nil }})
		if !errors.Is(err, objectwrite.ErrLate) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
