package retain

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Metadata applies the decisions.
type Metadata interface {
	TrimLog(ctx context.Context, p topic.Partition, epoch int32, offset int64) error
}

// Trimmer is the sink of the retention pipeline. Run it with one worker.
type Trimmer struct {
	meta  Metadata
	log   *slog.Logger
	pace  *rate.Limiter
	trims *prometheus.CounterVec
	bytes *prometheus.CounterVec
	fails prometheus.Counter
}

// NewTrimmer returns the sink, with its metrics registered.
func NewTrimmer(cfg Config, m Metadata, log *slog.Logger, reg prometheus.Registerer) *Trimmer {
	t := &Trimmer{meta: m, log: log, pace: rate.NewLimiter(rate.Limit(cfg.ChangesPerSecond), 1),
		trims: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_retention_trims_total",
			Help: "Times retention raised a partition's log start, by reason."}, []string{"reason"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_retention_bytes_total",
			Help: "Bytes of record batches deleted by retention."}, []string{"reason"}),
		fails: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_retention_failures_total",
			Help: "Log start changes that the metadata did not accept; they are retried."})}
	for _, r := range []string{ByTime, BySize} {
		t.trims.WithLabelValues(r)
		t.bytes.WithLabelValues(r)
	}
	reg.MustRegister(t.trims, t.bytes, t.fails)
	return t
}

// Run applies trims until in is closed or ctx is done.
func (t *Trimmer) Run(ctx context.Context, in *pipeline.In[*Trim]) error {
	for {
		p, err := in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Settle(t.trim(ctx, p.Body))
	}
}

// trim applies one trim. If it fails, the next check decides again.
func (t *Trimmer) trim(ctx context.Context, x *Trim) error {
	if err := t.pace.Wait(ctx); err != nil {
		return err
	}
	err := t.meta.TrimLog(ctx, x.Partition, x.Epoch, x.Start)
	switch {
	case overtaken(err):
		return err
	case err != nil:
		t.fails.Inc()
		t.log.Warn("retention could not raise a log start; retrying with increasing pauses", "partition", x.Partition, "offset", x.Start, "err", err)
		return err
	}
	t.trims.WithLabelValues(x.Reason).Inc()
	t.bytes.WithLabelValues(x.Reason).Add(float64(x.Bytes))
	t.log.Debug("raised a log start", "partition", x.Partition, "offset", x.Start, "bytes", x.Bytes, "reason", x.Reason)
	return nil
}

// overtaken reports whether the partition was deleted, or has another leader.
func overtaken(err error) bool {
	return errors.Is(err, meta.ErrUnknownTopic) || errors.Is(err, meta.ErrConflict)
}
