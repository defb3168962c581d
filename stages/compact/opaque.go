package compact

import (
	"errors"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// unreadable reports whether err is of records that nobody can read, however often.
func unreadable(err error) bool {
	return errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrUnsupported) || errors.Is(err, record.ErrTooLarge)
}

// opaque is the batches that were said to be so already. A batch is met again in each
// pass, in another object each time.
type opaque struct {
	said map[batchAt]struct{}
}

type batchAt struct {
	topic.Partition
	base int64
}

// mostSaid bounds the memory; what is beyond is said again.
const mostSaid = 4096

// first reports whether it is the first time that b is met.
func (o *opaque) first(b batchAt) bool {
	if _, again := o.said[b]; again {
		return false
	}
	if o.said == nil || len(o.said) >= mostSaid {
		o.said = make(map[batchAt]struct{})
	}
	o.said[b] = struct{}{}
	return true
}

// keepOpaque counts a batch that is kept as it is, and says once where it lies.
func (c *Compactor) keepOpaque(p *pass, ref meta.ObjectRef, b record.Batch, err error) {
	c.metrics.opaque.Inc()
	if c.opaque.first(batchAt{p.Partition, b.BaseOffset()}) {
		what := "the records of a batch cannot be read; compaction keeps it as it is"
		if errors.Is(err, record.ErrTooLarge) {
			what = "the records of a batch unpack to more than a tenth of compaction.memory_bytes; compaction keeps it as it is"
		}
		c.Logger.Error(what, "topic", p.Topic,
			"partition", p.Partition.Index, "offset", b.BaseOffset(), "next_offset", b.NextOffset(), "object", ref.ID,
			"codec", b.Codec(), "err", err)
	}
}
