package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Log is the WAL that cuts are taken from.
type Log interface {
	// ReadAt fills dst, of e.Size bytes, with the batches of e.
	ReadAt(ctx context.Context, e partition.Entry, dst []byte) error
	// Reclaim looks for what is done: in objects, or deleted.
	Reclaim()
}

// Images finds what still is in memory. Get's reference must be released.
type Images interface {
	Get(group partition.Position) (*blockfs.Buffer, bool)
}

// Metadata records objects.
type Metadata interface {
	View() *meta.View
	PrepareObject(ctx context.Context, id meta.ObjectID, parts []topic.Partition, ttl time.Duration) error
	CommitObject(ctx context.Context, id meta.ObjectID, parts []meta.CommitPart) ([]meta.PartResult, error)
}

// Store takes objects; a key that exists is refused with objectstore.ErrExists.
type Store interface {
	PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error
}

// Deps are what an Uploader works with.
type Deps struct {
	Log      Log
	Images   Images
	Metadata Metadata
	Store    Store
	Clock    clock.Clock
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// Uploader is the sink of the upload pipeline. Run it with one worker.
type Uploader struct {
	cfg Config
	Deps
	metrics  metrics
	active   atomic.Int64  // objects on their way
	interval atomic.Int64  // of the sweep
	tuned    chan struct{} // it was changed; capacity 1
}

// NewUploader returns the sink with its metrics registered.
func NewUploader(cfg Config, d Deps) *Uploader {
	u := &Uploader{cfg: cfg, Deps: d, metrics: newMetrics(d.Registry), tuned: make(chan struct{}, 1)}
	u.interval.Store(int64(cfg.SweepInterval))
	return u
}

// Run uploads cuts until in is closed or ctx is done.
func (u *Uploader) Run(ctx context.Context, in *pipeline.In[*Cut]) error {
	for {
		p, err := in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = u.again(ctx, "cut", func() error { return u.cut(ctx, p.Body) })
		p.Settle(err)
		if err != nil {
			return nil // only when the broker stops; the WAL has it all
		}
	}
}

// cut does all of c's work that is not done yet.
func (u *Uploader) cut(ctx context.Context, c *Cut) error {
	began := u.Clock.Now()
	u.catchUp(c)
	segments, err := u.plan(ctx, c)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(u.cfg.Concurrency)
	for _, s := range segments {
		g.Go(func() error { return u.segment(ctx, s) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	u.Log.Reclaim() // of what was found to be done or deleted; each object has asked for itself
	u.metrics.cuts.WithLabelValues(c.Reason).Inc()
	u.Logger.Info("uploaded", "reason", c.Reason, "bytes", c.Bytes, "objects", len(segments),
		"partitions", len(c.States), "took", u.Clock.Now().Sub(began).Round(time.Millisecond))
	return nil
}

// catchUp moves past what an attempt that was cut off had committed after all.
func (u *Uploader) catchUp(c *Cut) {
	view := u.Metadata.View()
	for _, s := range c.States {
		if m, ok := view.Partition(s.ID); ok && m.TierEnd > s.TierEnd() {
			s.SetTierEnd(m.TierEnd)
			s.Tail.Trim(m.TierEnd)
		}
	}
}

// segment takes one object through prepare, put and commit. The put ends with the time
// that was prepared: what is still sent later may find that the object was deleted, and
// bring it back when nobody knows of it.
func (u *Uploader) segment(ctx context.Context, s *segment) error {
	u.active.Add(1)
	defer u.active.Add(-1)
	timely, cancel := context.WithCancelCause(ctx) // no deadline, before which a bandwidth limit would refuse to wait
	defer cancel(nil)
	defer time.AfterFunc(u.cfg.PrepareTTL, func() { cancel(errLate) }).Stop()
	if err := u.Metadata.PrepareObject(timely, s.id, s.partitions(), u.cfg.PrepareTTL); err != nil {
		return fmt.Errorf("prepare object %s: %w", s.id, err)
	}
	parts, err := u.put(timely, s)
	if err != nil {
		return errors.Join(err, context.Cause(timely))
	}
	return u.again(ctx, "commit", func() error { return u.commit(ctx, s, parts) })
}

// errLate: an object was not written in the time for which it was prepared.
var errLate = errors.New("the time for which the object was prepared is over; raise object_storage.prepare_timeout_ms if the store is only slow")

// commit records the object and moves readers over to it. A part that another
// attempt has committed counts as done.
func (u *Uploader) commit(ctx context.Context, s *segment, parts []meta.CommitPart) error {
	results, err := u.Metadata.CommitObject(ctx, s.id, parts)
	if err != nil {
		return fmt.Errorf("commit object %s: %w", s.id, err)
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
			continue
		case err != nil && !u.holds(p.state.ID, s.id):
			return &permanentError{fmt.Errorf("commit object %s of %s at offset %d: %w", s.id, p.state.ID, parts[i].Ref.Base, err)}
		}
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

// permanentError is one that the same attempt cannot mend; the cut is planned anew.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// Pauses between attempts.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// again calls f until it succeeds, fails for good or ctx is done.
func (u *Uploader) again(ctx context.Context, what string, f func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := f()
		var permanent *permanentError
		if err == nil || ctx.Err() != nil || what != "cut" && errors.As(err, &permanent) {
			return err
		}
		u.metrics.failures.WithLabelValues(what).Inc()
		u.Logger.Warn("upload failed and is tried again", "step", what, "err", err, "pause", pause)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put writes the object and tells what it holds. The store may ask for the contents
// more than once; they are the same each time.
func (u *Uploader) put(ctx context.Context, s *segment) ([]meta.CommitPart, error) {
	var built []meta.CommitPart
	began := u.Clock.Now()
	size, err := s.size()
	if err != nil {
		return nil, err
	}
	err = u.Store.PutSized(ctx, object.Key(s.id), size, func() io.ReadCloser {
		return u.stream(ctx, s, began.UnixMilli(), &built)
	})
	if err != nil { // after ErrExists the next attempt takes a new id
		return nil, fmt.Errorf("write object %s: %w", s.id, err)
	}
	u.metrics.objects.Inc()
	for _, p := range s.parts {
		u.metrics.bytes.Add(float64(p.bytes))
	}
	u.metrics.seconds.Observe(u.Clock.Now().Sub(began).Seconds())
	return built, nil
}
