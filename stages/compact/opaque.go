package compact

import (
	"errors"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// unreadable reports whether err means that records are permanently unreadable.
func unreadable(err error) bool {
	return errors.Is(err, record.ErrCorrupt) || errors.Is(err, record.ErrUnsupported) || errors.Is(err, record.ErrTooLarge)
}

// opaque is the set of opaque batches already logged. Each pass finds them again,
// in another object.
type opaque struct {
	logged map[batchAt]struct{}
}

type batchAt struct {
	topic.Partition
	base int64
}

// maxLogged bounds the memory; beyond it batches are logged again.
const maxLogged = 4096

// first reports whether b has not been logged yet.
func (o *opaque) first(b batchAt) bool {
	if _, again := o.logged[b]; again {
		return false
	}
	if o.logged == nil || len(o.logged) >= maxLogged {
		o.logged = make(map[batchAt]struct{})
	}
	o.logged[b] = struct{}{}
	return true
}

// keepOpaque counts a batch that is kept unchanged, and logs its location once.
func (c *Compactor) keepOpaque(p *pass, ref meta.ObjectRef, b record.Batch, err error) {
	c.metrics.opaque.Inc()
	if c.opaque.first(batchAt{p.Partition, b.BaseOffset()}) {
		what := "the records of a batch cannot be read; compaction keeps it unchanged"
		if errors.Is(err, record.ErrTooLarge) {
			what = "the records of a batch decompress to more than a tenth of compaction.memory_bytes; compaction keeps it unchanged"
		}
		c.Logger.Error(what, "topic", p.Topic,
			"partition", p.Partition.Index, "offset", b.BaseOffset(), "next_offset", b.NextOffset(), "object", ref.ID,
			"codec", b.Codec(), "err", err)
	}
}
