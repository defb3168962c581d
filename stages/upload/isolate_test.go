package upload_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/upload"
)

// running is a running uploader.
type running struct {
	t   *testing.T
	log strings.Builder
	out pipeline.Emit[*upload.Cut]
	m   *memory
}

// run starts an uploader in a synctest bubble, until the test ends.
func run(t *testing.T, m *memory, images upload.Images, c *catalog, s *shaky, own int64) *running {
	t.Helper()
	m.catalog = c
	r := &running{t: t, m: m}
	cfg := upload.TestedConfig()
	cfg.OwnObjectBytes = own
	u := upload.NewUploader(cfg, upload.Deps{Log: m, Images: images, Metadata: c, Store: s, Clock: clock.System{},
		Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Registry: prometheus.NewRegistry()})
	in, out, end := pipeline.Pipe[*upload.Cut](1)
	r.out = out
	over := make(chan error, 1)
	ctx := context.WithoutCancel(t.Context()) // it ends when its input closes
	go func() { over <- u.Run(ctx, in) }()
	t.Cleanup(func() {
		end()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return r
}

// cut submits a cut and waits until it settles.
func (r *running) cut(states ...*partition.State) {
	r.t.Helper()
	settled := make(chan error, 1)
	receipt := pipeline.NewReceipt(func(err error) { settled <- err })
	if err := r.out(r.t.Context(), pipeline.Parcel[*upload.Cut]{Body: &upload.Cut{End: r.m.end(), States: states, Reason: "test"}, Receipt: receipt}); err != nil {
		r.t.Fatal(err)
	}
	select {
	case err := <-settled:
		if err != nil {
			r.t.Fatal(err)
		}
	case <-time.After(time.Minute):
		r.t.Fatal("one partition blocks the cut")
	}
}

// unreadable makes reads of bad's records fail from an offset on.
func unreadable(m *memory, bad *partition.State, from int64) {
	m.bad = func(e partition.Entry) error {
		for f := range bad.Tail.Entries(0, 1<<40) {
			if f.Position == e.Position && e.End() > from {
				return errors.New("medium error")
			}
		}
		return nil
	}
}

// An unreadable partition does not block the others; it accepts no more records,
// and continues once it is readable.
func TestUnreadablePartitionBlocksNobody(t *testing.T) {
	for name, own := range map[string]int64{"one shared object": 1 << 40, "objects of their own": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad, good, after := newState(), newState(), newState()
				m, c, s := &memory{}, newCatalog(bad, good, after), bucket(t)
				r := run(t, m, m, c, s, own)
				m.write(t, good, 2, -1)
				m.write(t, bad, 3, 77)
				m.write(t, after, 2, -1)
				unreadable(m, bad, 0)
				r.cut(bad, good, after)
				verify(t, c, s, good)
				verify(t, c, s, after)
				if bad.Refused() != nil {
					t.Error("refused after one failure")
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if !errors.Is(bad.Refused(), upload.ErrQuarantined) || good.Refused() != nil {
					t.Errorf("refused: %v, %v", bad.Refused(), good.Refused())
				}
				if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 || !strings.Contains(r.log.String(), "medium error") {
					t.Errorf("%d errors in the log:\n%s", n, &r.log)
				}
				m.write(t, good, 2, -1)
				r.cut(bad, good)
				verify(t, c, s, good)
				if m.reclaimed != m.batches[0].position || m.batches[0].state != bad {
					t.Errorf("reclaimed up to %d, past %d which is not uploaded", m.reclaimed, m.batches[0].position)
				}
				m.mu.Lock()
				m.bad = nil
				m.mu.Unlock()
				time.Sleep(6 * time.Minute)
				synctest.Wait()
				verify(t, c, s, bad)
				if bad.Refused() != nil || m.reclaimed != m.end() {
					t.Errorf("afterwards: refused %v, reclaimed up to %d of %d", bad.Refused(), m.reclaimed, m.end())
				}
			})
		})
	}
}

// A partition is uploaded as far as it is readable.
func TestRecordsBelowTheDamageAreUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, other := newState(), newState()
		m, c, s := &memory{}, newCatalog(bad, other), bucket(t)
		r := run(t, m, m, c, s, 1<<40)
		for range 3 { // several entries of bad, with others in between
			m.write(t, bad, 2, 77)
			m.write(t, other, 1, -1)
		}
		unreadable(m, bad, 4)
		r.cut(bad, other)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if end := c.parts[bad.ID].TierEnd; end != 4 || bad.TierEnd() != 4 {
			t.Errorf("uploaded up to %d, the state says %d, not 4\n%s", end, bad.TierEnd(), &r.log)
		}
	})
}

// rotten is memory with a flipped bit.
type rotten struct{ image *blockfs.Buffer }

func (r rotten) Get(partition.Position) (*blockfs.Buffer, bool) {
	r.image.Retain()
	return r.image, true
}

// Records damaged in memory are read from the log.
func TestDamageInMemoryIsReadFromTheLog(t *testing.T) {
	a, b := newState(), newState()
	m, c, s := &memory{}, newCatalog(a, b), bucket(t)
	m.write(t, a, 3, 77)
	m.write(t, b, 3, 78)
	image, err := blockfs.NewPool(1<<20).Get(t.Context(), blockfs.BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	copy(image.Bytes(), m.bytes)
	image.Bytes()[100] ^= 4
	synctest.Test(t, func(t *testing.T) {
		r := run(t, m, rotten{image}, c, s, 1<<40)
		r.cut(a, b)
		verify(t, c, s, b)
		time.Sleep(time.Second)
		synctest.Wait()
		verify(t, c, s, a)
		if a.Refused() != nil {
			t.Error("the partition was quarantined")
		}
	})
}

// A partition that the metadata keeps refusing does not block the others.
func TestRefusedPartitionBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := newState(), newState()
		m, c, s := &memory{}, newCatalog(bad, good), bucket(t)
		c.refuse = bad.ID
		r := run(t, m, m, c, s, 1<<40)
		m.write(t, bad, 1, -1)
		m.write(t, good, 1, -1)
		r.cut(bad, good)
		verify(t, c, s, good)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !errors.Is(bad.Refused(), upload.ErrQuarantined) {
			t.Errorf("refused: %v\n%s", bad.Refused(), &r.log)
		}
		c.mu.Lock()
		c.refuse = topic.Partition{}
		c.mu.Unlock()
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		verify(t, c, s, bad)
	})
}

// A deleted partition is no longer isolated, whatever its state was.
func TestDeletedPartitionIsNoLongerIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := newState()
		m, c, s := &memory{}, newCatalog(bad), bucket(t)
		r := run(t, m, m, c, s, 1<<40)
		m.write(t, bad, 1, -1)
		unreadable(m, bad, 0)
		r.cut(bad)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		bad.Delete()
		c.mu.Lock()
		delete(c.parts, bad.ID)
		c.mu.Unlock()
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		before := r.log.String()
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.log.String() != before || m.reclaimed != m.end() {
			t.Errorf("reclaimed up to %d of %d; it still logs about a deleted topic:\n%s", m.reclaimed, m.end(), r.log.String()[len(before):])
		}
	})
}

// A topic may be deleted while its records are read for an object: the WAL
// reclaims the records then, which is not a failure of the partition.
func TestTopicDeletedDuringItsUploadIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, good := newState(), newState()
		m, c, s := &memory{}, newCatalog(gone, good), bucket(t)
		r := run(t, m, m, c, s, 1<<40)
		m.write(t, gone, 2, 77)
		m.write(t, good, 2, -1)
		unreadable(m, gone, 0)
		damage := m.bad
		m.bad = func(e partition.Entry) error {
			err := damage(e)
			if err != nil {
				gone.Delete()
				c.mu.Lock()
				delete(c.parts, gone.ID)
				c.mu.Unlock()
			}
			return err
		}
		r.cut(gone, good)
		verify(t, c, s, good)
		if log := r.log.String(); !gone.Deleted() || strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR") {
			t.Errorf("a deleted topic is reported as one that cannot be uploaded:\n%s", log)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if m.reclaimed != m.end() {
			t.Errorf("reclaimed up to %d of %d", m.reclaimed, m.end())
		}
	})
}

// Missing records are an error of their partition, never skipped.
func TestGapInTheLogIsNeverSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newState()
		m, c, s := &memory{}, newCatalog(a), bucket(t)
		a.Publish(5)
		r := run(t, m, m, c, s, 1<<40)
		m.write(t, a, 1, -1) // offset 5; 0 to 4 are missing
		r.cut(a)
		time.Sleep(time.Hour)
		synctest.Wait()
		if m.reclaimed != 0 || len(c.parts[a.ID].Objects) != 0 || !errors.Is(a.Refused(), upload.ErrQuarantined) {
			t.Errorf("reclaimed %d, objects %v, refused %v", m.reclaimed, c.parts[a.ID].Objects, a.Refused())
		}
	})
}
