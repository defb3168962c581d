package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectwrite"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Log is the WAL that cuts are taken from.
type Log interface {
	// ReadAt fills dst, of e.Size bytes, with the batches of e.
	ReadAt(ctx context.Context, e partition.Entry, dst []byte) error
	// ReadMany fills reads, in any order; each has its own error.
	ReadMany(ctx context.Context, reads []*partition.Read)
	// Reclaim checks for segments that are done: in objects, or deleted.
	Reclaim()
}

// Images finds what is still in memory. The reference returned by Get must be
// released.
type Images interface {
	Get(group partition.Position) (*blockfs.Buffer, bool)
}

// Metadata records objects.
type Metadata interface {
	objectwrite.Metadata
	View() *meta.View
	CommitObject(ctx context.Context, id meta.ObjectID, parts []meta.CommitPart) ([]meta.PartResult, error)
}

// Store writes and reads objects.
type Store interface {
	objectwrite.Store
	Object(key string) object.RangeReader
}

// Deps are what an Uploader needs from outside.
type Deps struct {
	Log      Log
	Images   Images
	Metadata Metadata
	Store    Store
	// Snapshots is charged for producer snapshots.
	Snapshots *memory.Account
	Clock     clock.Clock
	Logger    *slog.Logger
	Registry  prometheus.Registerer
}

// Uploader is the sink of the upload pipeline. Run it with one worker.
type Uploader struct {
	*setting.Limits[Config]
	Deps
	end         partition.Position // end of the cuts so far; everything below is committed
	isolated    map[*partition.State]*isolated
	refusals    sync.Map // *partition.State to int: how often the metadata refused it
	quarantined atomic.Int64
	metrics     metrics
	active      atomic.Int64  // objects on their way
	tuned       chan struct{} // limits were changed; capacity 1
	folding     sync.Mutex    // one fold at a time, for the memory that it takes
}

// NewUploader returns the sink, with its metrics registered.
func NewUploader(cfg Config, d Deps) *Uploader {
	u := &Uploader{Limits: setting.NewLimits("upload/upload", cfg), Deps: d, isolated: make(map[*partition.State]*isolated), tuned: make(chan struct{}, 1)}
	u.metrics = newMetrics(d.Registry, &u.quarantined)
	return u
}

// Run uploads cuts until in is closed or ctx is done.
func (u *Uploader) Run(ctx context.Context, in *pipeline.In[*Cut]) error {
	for {
		until, cancel := u.attention(ctx)
		p, err := in.Recv(until)
		cancel()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && until.Err() != nil && ctx.Err() == nil:
			u.retry(ctx)
			continue
		case err != nil:
			return err
		}
		err = u.again(ctx, stepObjects, func() error { return u.cut(ctx, p.Body) })
		p.Settle(err)
		if err != nil {
			return nil // only when the broker stops; the WAL has it all
		}
	}
}

// cut does the part of c's work that is not done yet, except for isolated
// partitions.
func (u *Uploader) cut(ctx context.Context, c *Cut) error {
	began := u.Clock.Now()
	u.end = max(u.end, c.End)
	objects := 0
	for again := true; again; {
		u.catchUp(c.States)
		plans, failed, err := u.plan(ctx, c)
		if err != nil {
			return err
		}
		objects += len(plans)
		inObjects, err := u.writeAll(ctx, plans)
		if err != nil {
			return err
		}
		var late error
		for _, e := range append(failed, inObjects...) {
			if e.state.Deleted() || !e.state.Leads() {
				continue // the WAL may have reclaimed what was being read
			}
			if e.refused && u.refused(e.state) < strikes {
				late = e
				continue
			}
			u.isolate(e)
		}
		if late != nil {
			return late
		}
		again = len(inObjects) > 0 // for the other partitions of these objects
	}
	u.Log.Reclaim() // for what turned out to be done or deleted; each object has already asked
	u.metrics.cuts.WithLabelValues(c.Reason).Inc()
	u.Logger.Info("uploaded", "reason", c.Reason, "bytes", c.Bytes, "objects", objects,
		"partitions", len(c.States), "took", u.Clock.Now().Sub(began).Round(time.Millisecond))
	return nil
}

// writeAll writes objects, and returns the partitions that some could not be
// written for. Any other error ends it.
func (u *Uploader) writeAll(ctx context.Context, plans []*objectPlan) (failed []*partError, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(u.Config().Concurrency)
	for _, s := range plans {
		g.Go(func() error {
			err := u.write(ctx, s)
			var part *partError
			if err == nil || ctx.Err() != nil || !errors.As(err, &part) {
				return err
			}
			mu.Lock()
			failed = append(failed, part)
			mu.Unlock()
			return nil
		})
	}
	err = g.Wait()
	return failed, err
}

// catchUp skips what an interrupted attempt had committed after all.
func (u *Uploader) catchUp(states []*partition.State) {
	view := u.Metadata.View()
	for _, s := range states {
		if m, ok := view.Partition(s.ID); ok && m.TierEnd > s.TierEnd() {
			s.SetTierEnd(m.TierEnd)
			s.Tail.Trim(m.TierEnd)
		}
	}
}

// write writes one object and switches readers to it.
func (u *Uploader) write(ctx context.Context, s *objectPlan) error {
	u.active.Add(1)
	defer u.active.Add(-1)
	size, err := s.size()
	if err != nil {
		return err
	}
	began := u.Clock.Now()
	var what built
	defer func() { u.release(&what) }()
	w := objectwrite.Writer{Metadata: u.Metadata, Store: u.Store, Clock: u.Clock, TTL: u.Config().PrepareTTL}
	return w.Write(ctx, &objectwrite.Object{Partitions: s.partitions(), Size: size, Pace: s.pace.reader,
		Fill: func(ctx context.Context, id meta.ObjectID, out *object.Writer) error {
			return u.build(ctx, out, id, s, &what)
		},
		Commit: func(ctx context.Context, id meta.ObjectID) error {
			u.wrote(s, began)
			if err := u.again(ctx, stepProducers, func() error { return u.remember(ctx, &what) }); err != nil {
				return err
			}
			return u.again(ctx, stepCommit, func() error { return u.commit(ctx, id, s, what.parts) })
		}})
}

// wrote counts an object that is in the store.
func (u *Uploader) wrote(s *objectPlan, began time.Time) {
	u.metrics.objects.Inc()
	for _, p := range s.parts {
		u.metrics.bytes.Add(float64(p.bytes))
	}
	u.metrics.seconds.Observe(u.Clock.Now().Sub(began).Seconds())
}

// commit records the object and switches readers to it. A part that another
// attempt has committed counts as done.
func (u *Uploader) commit(ctx context.Context, id meta.ObjectID, s *objectPlan, parts []meta.CommitPart) error {
	results, err := u.Metadata.CommitObject(ctx, id, parts)
	if err != nil {
		return fmt.Errorf("commit object %s: %w", id, err)
	}
	refused := make(map[topic.Partition]error)
	for _, r := range results {
		if r.Err != nil {
			refused[r.Partition] = r.Err
		}
	}
	for i, p := range s.parts {
		err := refused[p.state.ID]
		switch {
		case errors.Is(err, meta.ErrUnknownTopic):
			u.refusals.Delete(p.state)
			continue
		case err != nil && !u.holds(p.state.ID, id):
			return &partError{p.state, parts[i].Ref.Base, fmt.Errorf("commit object %s: %w", id, err), true}
		}
		u.refusals.Delete(p.state)
		p.state.SetTierEnd(parts[i].Ref.End)
		p.state.Tail.Trim(parts[i].Ref.End)
	}
	u.Log.Reclaim()
	return nil
}

func (u *Uploader) holds(p topic.Partition, id meta.ObjectID) bool {
	m, ok := u.Metadata.View().Partition(p)
	if !ok {
		return false
	}
	for _, ref := range m.Objects {
		if ref.ID == id {
			return true
		}
	}
	return false
}

// Pauses between attempts.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// again calls f until it succeeds, fails permanently or ctx is done.
func (u *Uploader) again(ctx context.Context, what string, f func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := f()
		var part *partError
		if err == nil || ctx.Err() != nil || what != stepObjects && errors.As(err, &part) {
			return err
		}
		u.metrics.failures.WithLabelValues(what).Inc()
		u.Logger.Warn("upload failed; retrying", "step", what, "err", err, "pause", pause)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
