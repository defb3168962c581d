package locate

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

var (
	// ErrOutOfRange: the offset is below the log start or above the end.
	ErrOutOfRange = fault.Refused(kerr.OffsetOutOfRange, "offset out of range")
	// ErrDeleted: the topic has been deleted in the meantime.
	ErrDeleted = fault.Refused(kerr.UnknownTopicOrPartition, "partition was deleted")
	// ErrMissing: the offset is neither in the WAL nor in an object although it
	// should be. That is a bug or a lost disk, never the client's fault.
	ErrMissing = fault.Lost(kerr.KafkaStorageError, "committed records not found")
)

// Manifest returns the metadata of a partition.
type Manifest func(topic.Partition) (*meta.Partition, bool)

// Missing reports an offset that should exist and does not, and returns the error
// for its reader.
type Missing func(p topic.Partition, offset int64, err error) error

// Locator finds records. Safe for concurrent use.
type Locator struct {
	manifest Manifest
	missing  Missing
}

// New returns a locator that looks up objects in manifest.
func New(manifest Manifest, missing Missing) *Locator { return &Locator{manifest, missing} }

// Stage locates all reads of a Fetch. Any number of workers may run it.
func (l *Locator) Stage() pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.Each(func(_ context.Context, f *flow.Fetch) (*flow.Fetch, error) {
		f.Began = time.Now()
		left := f.MaxBytes
		for i, r := range f.Reads {
			if i > 0 && left <= 0 {
				break
			}
			left -= l.Locate(r, left)
		}
		return f, nil
	})
}

// Locate fills in the location of r and returns its approximate size in bytes, at
// most maxBytes but at least one batch.
func (l *Locator) Locate(r *flow.Read, maxBytes int) int {
	s := r.State
	if s.Deleted() {
		r.Err = ErrDeleted
		return 0
	}
	r.End = s.HighWatermark()
	if r.Offset < s.LogStart() || r.Offset > r.End {
		r.Err = fmt.Errorf("%w: %d is outside [%d, %d]", ErrOutOfRange, r.Offset, s.LogStart(), r.End)
		return 0
	}
	if r.Offset == r.End {
		return 0
	}
	maxBytes = min(maxBytes, r.MaxBytes)
	r.Limit = max(maxBytes, 1)
	var ok bool
	if r.Tail, ok = s.Tail.From(r.Tail[:0], r.Offset, r.End, maxBytes); ok {
		return partition.Estimate(r.Tail, r.Offset, r.End, maxBytes)
	}
	if r.Object, r.Err = l.object(s, r.Offset); r.Err != nil {
		return 0
	}
	return maxBytes
}

func (l *Locator) object(s *partition.State, offset int64) (*meta.ObjectRef, error) {
	m, ok := l.manifest(s.ID)
	if !ok {
		return nil, ErrDeleted
	}
	i, ok := m.ObjectAt(offset)
	if !ok {
		err := fmt.Errorf("%w: %s offset %d; objects end at %d", ErrMissing, s.ID, offset, m.TierEnd)
		return nil, l.missing(s.ID, offset, err)
	}
	return &m.Objects[i], nil
}
