package wal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

var (
	// ErrFailed: a write or a sync failed, and the log takes no more.
	ErrFailed = errors.New("the WAL has failed and takes no writes until the broker is restarted")
	// ErrReclaimed: the position is in no segment any more, or in none yet.
	ErrReclaimed = errors.New("position is not in the WAL")
	// ErrCorrupt: what is on disk is not what was written.
	ErrCorrupt = errors.New("WAL is corrupt")
)

// Recovered is one batch of the log, as Recover finds it.
type Recovered struct {
	Position  partition.Position // of the batch
	Group     partition.Position // of the group that holds it
	Partition topic.Partition
	Batch     record.Batch // valid during the call only
	Base      int64
	Epoch     int32
	Size      int32
}

// Corruption is a stretch of the log that was durable once and is not readable.
type Corruption struct {
	Segment  string             // file name
	Position partition.Position // where it begins
	Sequence uint64             // of the first group that is affected
	Reason   string
}

// Report says what Recover found.
type Report struct {
	Segments, Groups, Batches int
	Bytes                     int64 // of batches
	End                       partition.Position
	Torn                      bool // an unfinished tail was trimmed
	Corruptions               []Corruption
	Took                      time.Duration
}

// Log is the write-ahead log.
type Log struct{}

// Open opens the log in fs.
func Open(fs blockfs.FS, cfg Config, pool *blockfs.Pool, logger *slog.Logger, reg prometheus.Registerer) (*Log, error) {
	return nil, errors.ErrUnsupported
}

// Recover calls fn for every batch, in log order.
func (l *Log) Recover(ctx context.Context, fn func(Recovered) error) (Report, error) {
	return Report{}, errors.ErrUnsupported
}

// Run is the stage. Run it with one worker.
func (l *Log) Run(ctx context.Context, in *pipeline.In[*flow.Group], out pipeline.Emit[*flow.Group]) error {
	return errors.ErrUnsupported
}

// ReadAt fills dst, of e.Size bytes, with the batch of e.
func (l *Log) ReadAt(ctx context.Context, e partition.Entry, dst []byte) error {
	return errors.ErrUnsupported
}

// ReadGroup returns the image of the group at pos; the caller releases it.
func (l *Log) ReadGroup(ctx context.Context, pos partition.Position) (*blockfs.Buffer, error) {
	return nil, errors.ErrUnsupported
}

// Reclaim gives back the segments that are wholly below before.
func (l *Log) Reclaim(before partition.Position) error { return errors.ErrUnsupported }

// Usage returns the bytes that the log holds and those it may hold.
func (l *Log) Usage() (usedBytes, capacityBytes int64) { return 0, 0 }

// End returns the position of the next group.
func (l *Log) End() partition.Position { return 0 }

// Pressure yields when the log is getting full and wants an upload.
func (l *Log) Pressure() <-chan struct{} { return nil }

// Err returns the failure that latched the log, or nil.
func (l *Log) Err() error { return nil }

// Close closes the files. Run must have returned.
func (l *Log) Close() error { return nil }
