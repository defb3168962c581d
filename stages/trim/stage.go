package trim

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/histogram"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// Stage finishes fetches. Any number of workers may run it.
type Stage struct {
	bytes   [flow.FromObject + 1]prometheus.Counter
	reads   [flow.FromObject + 1]prometheus.Counter
	seconds [flow.FromObject + 1]prometheus.Histogram
}

// New returns the stage with its metrics registered.
func New(reg prometheus.Registerer) *Stage {
	s := &Stage{}
	for src := flow.FromNone; src <= flow.FromObject; src++ {
		labels := prometheus.Labels{"source": src.String()}
		s.bytes[src] = prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_read_bytes_total",
			Help: "Bytes of record batches read, by the tier that served them.", ConstLabels: labels})
		s.reads[src] = prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_reads_total",
			Help: "Partition reads, by the tier that served them.", ConstLabels: labels})
		// From a cache to an object store in trouble.
		o := histogram.Seconds("sluice_read_seconds", "Time from locating a partition read until its tier had served it.", 20*time.Microsecond, 20*time.Second)
		o.ConstLabels = labels
		s.seconds[src] = prometheus.NewHistogram(o)
		reg.MustRegister(s.bytes[src], s.reads[src], s.seconds[src])
	}
	return s
}

// Run finishes fetches until in is closed.
func (s *Stage) Run(ctx context.Context, in *pipeline.In[*flow.Fetch]) error {
	for {
		p, err := in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.finish(p.Body)
		p.Settle(nil)
	}
}

func (s *Stage) finish(f *flow.Fetch) {
	left, any := f.MaxBytes, false
	for _, r := range f.Reads {
		left -= trim(r, left, !any)
		any = any || r.Bytes > 0
		s.reads[r.Source].Inc()
		s.bytes[r.Source].Add(float64(r.Bytes))
		if r.Bytes > 0 {
			r.State.Served(r.Bytes)
		}
		if r.Took > 0 {
			s.seconds[r.Source].Observe(r.Took.Seconds())
		}
	}
}

// trim drops batches from the end until r has at most left bytes; if whole is set
// it keeps the first batch whatever its size (KIP-74).
func trim(r *flow.Read, left int, whole bool) int {
	n, bytes := 0, 0
	for i, seg := range r.Buffers {
		if bytes+len(seg) > left {
			if seg = head(seg, left-bytes, whole && i == 0); len(seg) > 0 {
				r.Buffers[i] = seg
				bytes += len(seg)
				n++
			}
			break
		}
		bytes += len(seg)
		n++
	}
	r.Buffers, r.Bytes = r.Buffers[:n], bytes
	return bytes
}

// head returns the leading batches of seg, up to left bytes; if whole is set, at
// least one.
func head(seg []byte, left int, whole bool) []byte {
	n := 0
	for n < len(seg) {
		b, _, err := record.Next(seg[n:])
		if err != nil || n+len(b) > left && !(whole && n == 0) {
			break
		}
		n += len(b)
	}
	return seg[:n]
}
