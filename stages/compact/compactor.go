package compact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectwrite"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Metadata records objects.
type Metadata interface {
	objectwrite.Metadata
	ReplaceObjects(ctx context.Context, p topic.Partition, r meta.Replacement) error
}

// Store has objects by key.
type Store interface {
	objectwrite.Store
	Object(key string) object.RangeReader
	Size(ctx context.Context, key string) (int64, error)
}

// Deps are what a Compactor needs from outside.
type Deps struct {
	Metadata Metadata
	Store    Store
	// LastBatch returns the base offset of a producer's last batch, if it is known.
	LastBatch func(p topic.Partition, producer int64) (base int64, ok bool)
	Clock     clock.Clock
	Logger    *slog.Logger
	Registry  prometheus.Registerer
}

// Compactor is the sink of the compaction pipeline. Run it with one worker.
type Compactor struct {
	*setting.Limits[Config]
	Deps
	indexed  atomic.Int64 // bytes of the index of keys
	throttle *throttle
	metrics  metrics
	opaque   opaque
}

// NewCompactor returns the sink, with its metrics registered.
func NewCompactor(cfg Config, d Deps) *Compactor {
	c := &Compactor{Limits: setting.NewLimits("compact/compact", cfg), Deps: d, throttle: newThrottle(cfg.BytesPerSecond, cfg.Paused)}
	c.metrics = newMetrics(d.Registry, c.throttle)
	return c
}

// Memory is divided so that everything needed at once fits:
//
//	the survey    the index while it doubles (1/2), a request's bytes and the one's
//	              before (1/8), the records of one batch, unpacked (1/10)
//	the rewrite   the index (1/3), requests (1/8), and for one batch (1/10 each) its
//	              records, those that stay, the new batch, and the one before it got a
//	              delete horizon
func (c *Compactor) indexBytes() int64 { return c.Config().MemoryBytes / 2 }

// runBytes is what one request asks for.
func (c *Compactor) runBytes() int64 { return min(4<<20, c.Config().MemoryBytes/16) }

// unpackedBytes is the limit for the decompressed records of one batch.
func (c *Compactor) unpackedBytes() int {
	return int(min(max(c.Config().MemoryBytes/10, leastUnpacked), record.MaxUnpacked))
}

// leastUnpacked is more than clients put into a batch by default.
const leastUnpacked = 2 << 20

// Run runs jobs until in is closed or ctx is done.
func (c *Compactor) Run(ctx context.Context, in *pipeline.In[*Job]) error {
	for {
		p, err := in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Settle(c.job(ctx, p.Body))
	}
}

// job runs j, and cancels it when either ctx or j.Life ends.
func (c *Compactor) job(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.Life, cancel)()
	kind, work := merging, func() error { return c.merge(ctx, j.Merges) }
	if j.Clean != nil {
		kind, work = cleaning, func() error {
			if err := c.clean(ctx, j.Clean); err != nil {
				return fmt.Errorf("%s: %w", describe(j.Clean.Topic, j.Clean.Partition), err)
			}
			return nil
		}
	}
	if err := c.throttle.awake(ctx); err != nil {
		return err
	}
	began := c.Clock.Now()
	err := work()
	c.metrics.seconds.WithLabelValues(kind).Observe(c.Clock.Now().Sub(began).Seconds())
	switch {
	case err == nil:
		c.metrics.jobs.WithLabelValues(kind, done).Inc()
	case ctx.Err() != nil:
		c.metrics.jobs.WithLabelValues(kind, givenUp).Inc()
	case errors.Is(err, meta.ErrConflict), errors.Is(err, meta.ErrUnknownTopic):
		c.metrics.jobs.WithLabelValues(kind, overtaken).Inc()
		c.Logger.Debug("the manifest changed during compaction", "kind", kind, "err", err)
	default:
		c.metrics.jobs.WithLabelValues(kind, failed).Inc()
		c.Logger.Warn("compaction failed; retrying with increasing pauses", "kind", kind, "err", err)
	}
	return err
}

// merge copies the batches of all parts into one object and replaces the
// originals.
func (c *Compactor) merge(ctx context.Context, parts []Merge) error {
	ids := make([]topic.Partition, len(parts))
	for i, m := range parts {
		ids[i] = m.Partition
	}
	return c.write(ctx, ids, func(ctx context.Context, out *output) error {
		for i := range parts {
			if err := c.copyPart(ctx, out, &parts[i]); err != nil {
				return fmt.Errorf("%s: %w", describe(parts[i].Topic, parts[i].Partition), err)
			}
		}
		return nil
	}, func(ctx context.Context, refs []meta.ObjectRef) error {
		var errs []error
		for i, m := range parts {
			if err := c.replace(ctx, m.Partition, meta.Replacement{Epoch: m.Epoch, Old: m.Old, New: refs[i]}); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", describe(m.Topic, m.Partition), err))
			}
		}
		return errors.Join(errs...)
	})
}

func (c *Compactor) copyPart(ctx context.Context, out *output, m *Merge) error {
	out.begin(m.Partition, m.Old)
	for _, ref := range m.Old {
		for b, err := range c.batches(ctx, m.Partition, ref, ref.Base) {
			if err != nil {
				return err
			}
			if err := out.append(b); err != nil {
				return err
			}
		}
	}
	return out.end()
}

// replace commits one replacement to the metadata.
func (c *Compactor) replace(ctx context.Context, p topic.Partition, r meta.Replacement) error {
	if err := c.Metadata.ReplaceObjects(ctx, p, r); err != nil {
		return fmt.Errorf("replace %d objects from offset %d by %s: %w", len(r.Old), r.New.Base, r.New.ID, err)
	}
	c.metrics.replaced.Add(float64(len(r.Old)))
	c.Logger.Debug("replaced objects", "partition", p, "base", r.New.Base, "end", r.New.End, "objects", len(r.Old),
		"bytes_before", sum(r.Old), "bytes", r.New.Bytes, "clean_end", r.CleanEnd)
	return nil
}

// Tune changes limits. A pause takes hold in the middle of a job, memory at the next.
func (c *Compactor) Tune(values map[string]int64) error {
	err := c.Limits.Tune(values)
	if err == nil {
		c.throttle.set(c.Config().BytesPerSecond)
		c.throttle.pause(c.Config().Paused)
	}
	return err
}
