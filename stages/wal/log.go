package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/partition"
)

var (
	// ErrFailed: a write or a sync failed, and the log takes no more.
	ErrFailed = fault.Refused(kerr.KafkaStorageError, "the WAL has failed and takes no writes until the broker is restarted")
	// ErrReclaimed: the position is in no segment any more, or in none yet.
	ErrReclaimed = fault.Transient(kerr.KafkaStorageError, "position is not in the WAL")
	// ErrCorrupt: what is on disk is not what was written.
	ErrCorrupt = fault.Lost(kerr.KafkaStorageError, "WAL is corrupt")
	// ErrLost: the log lacks what was acknowledged, and nobody can tell of which partitions.
	ErrLost = errors.New("the WAL has lost what was on disk")
	// ErrForeign: the log is not the one on record.
	ErrForeign = errors.New("the WAL is not the one that the metadata has on record")
	// ErrStopping: there was no room, and it is not waited for any more.
	ErrStopping = fault.Transient(kerr.NotLeaderForPartition, "the WAL is full, and the broker is being stopped")
	// ErrNotRecovered: the stage was run before Recover.
	ErrNotRecovered = errors.New("the WAL has to be recovered before it is written")
)

// Log is the write-ahead log. Open, Recover, then Run it as a stage; reads,
// Reclaim and the rest may be called concurrently once Recover has returned.
type Log struct {
	cfg      Config
	pool     *blockfs.Pool
	logger   *slog.Logger
	writer   blockfs.Writer
	segments *segments
	guard    *guard // nil: none
	onRecord *uuid.UUID
	owner    *uuid.UUID
	accept   bool // of what was lost
	metrics  metrics

	// What follows belongs to Recover, then to Run.
	wal       uuid.UUID
	run       uint64
	next      anchor
	truncated uint64 // sequence of the last truncation
	active    *segment
	tried     bool // to recover
	recovered bool
	unsealed  bool   // a group was written since the last seal
	block     []byte // one aligned block, for headers and seals

	refusing    chan struct{} // closed by Refuse
	refuse      sync.Once
	guardDue    chan struct{} // capacity 1
	truncations chan truncation
	ended       chan struct{} // closed when Run has returned

	end       atomic.Uint64 // position of the next group
	completed atomic.Uint64 // all groups up to this sequence are written
	durable   atomic.Uint64 // all groups up to this sequence are on disk

	latchOnce sync.Once
	cause     atomic.Pointer[error]
	failed    chan struct{} // closed when cause is set
}

// Deps are what a Log works with.
type Deps struct {
	Pool *blockfs.Pool // of groups and reads
	Done Done          // says what the log may lose
	// Guard is where the guard of the log is, a directory of its own; nil: there is none.
	Guard blockfs.FS
	// OnRecord is the log that the metadata knows, zero where it knows of none; nil: that is
	// not asked.
	OnRecord *uuid.UUID
	// Owner is the process that the metadata knows to have been the last to take the log over,
	// zero where it knows of none; nil: that is not asked. See TakeOver.
	Owner *uuid.UUID
	// AcceptLost has Recover go on with what is there.
	AcceptLost bool
	// GivingBack is called before a segment is given back, which is tried again if it
	// fails; nil: nothing is.
	GivingBack func() error
	Logger     *slog.Logger
	Registry   prometheus.Registerer
}

// Open opens the log in fs, which it has for itself. Run it after Recover; Close it
// in any case.
func Open(fs blockfs.FS, cfg Config, d Deps) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w, err := blockfs.NewWriter(fs, cfg.Inflight)
	if err != nil {
		return nil, fmt.Errorf("open the WAL: %w", err)
	}
	l := &Log{cfg: cfg, pool: d.Pool, logger: d.Logger, writer: w, block: blockfs.Aligned(blockfs.BlockSize),
		segments: newSegments(fs, cfg, d.Done, d.Logger), failed: make(chan struct{}), refusing: make(chan struct{}),
		truncations: make(chan truncation), ended: make(chan struct{}), guardDue: make(chan struct{}, 1), onRecord: d.OnRecord, owner: d.Owner, accept: d.AcceptLost}
	l.segments.before = d.GivingBack
	if err := l.segments.open(); err != nil {
		w.Close()
		return nil, fmt.Errorf("open the WAL: %w", err)
	}
	if d.Guard != nil {
		if l.guard, err = openGuard(d.Guard, d.AcceptLost); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	l.segments.guard = l.guard
	l.metrics = newMetrics(l, w.Name(), accessOf(fs), d.Registry)
	registerDisk(fs, d.Registry)
	return l, nil
}

// accessOf names how the files of fs are opened, where it tells.
func accessOf(fs blockfs.FS) string {
	if a, ok := fs.(interface{ Access() string }); ok {
		return a.Access()
	}
	return "unknown"
}

// ID returns which log this is. Call it after Recover.
func (l *Log) ID() uuid.UUID { return l.wal }

// End returns the position of the group to come.
func (l *Log) End() partition.Position { return partition.Position(l.end.Load()) }

// Usage returns the bytes from the oldest segment to the end of the log, and the
// bytes that all segments may have.
func (l *Log) Usage() (usedBytes, capacityBytes int64) {
	return l.segments.used(l.End()), l.cfg.CapacityBytes
}

// Pressure yields when the log is three quarters full, when the disk has no room
// for the segment to come, which is before it is needed, and again for as long as
// groups wait for room: somebody should upload, then call Reclaim.
func (l *Log) Pressure() <-chan struct{} { return l.segments.pressure }

// Reclaim has the log look for segments of which Done lets it lose everything, and give
// them back, soon. Call it whenever something has become done.
func (l *Log) Reclaim() { signal(l.segments.wake) }

// Refuse has groups refused, from the first one on for which there is no room, with
// ErrStopping. Nothing is lost by it: they were not acknowledged.
func (l *Log) Refuse() { l.refuse.Do(func() { close(l.refusing) }) }

// Err returns nil, or an ErrFailed with what latched the log.
func (l *Log) Err() error {
	if p := l.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// Failed is closed when the log has failed.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// latch makes cause the end of all writing. Only the first one counts.
func (l *Log) latch(cause error) {
	l.latchOnce.Do(func() {
		err := fmt.Errorf("%w: %w", ErrFailed, cause)
		l.cause.Store(&err)
		close(l.failed)
		l.metrics.failed.Set(1)
		l.logger.Error("a write to the WAL failed; the broker takes no more until it is restarted", "err", cause)
	})
}

// Close closes the files. Run and all reads must have returned.
func (l *Log) Close() error {
	l.writer.Close()
	return errors.Join(l.segments.close(), l.guard.close())
}

// advance moves an atomic that only grows and has one writer at a time.
func advance(v *atomic.Uint64, to uint64) {
	if to > v.Load() {
		v.Store(to)
	}
}

// sealRoom is what groups leave of a segment, so that the last one can always be
// sealed.
const sealRoom = blockfs.BlockSize

// place gives the group that h describes its place in the log, in a new segment
// where the active one has not enough room, and completes h.
func (l *Log) place(ctx context.Context, h *head) (*segment, error) {
	need := int64(h.padded()) + sealRoom
	if l.active.room(l.End()) < need {
		if err := l.roll(ctx, need); err != nil {
			return nil, err
		}
	}
	l.identify(h)
	return l.active, nil
}

func (l *Log) identify(h *head) {
	h.identity = identity{l.wal, l.End()}
	h.anchor, h.run, h.durable = l.next, l.run, l.durable.Load()
}

// placed moves the log past h, whose image is made.
func (l *Log) placed(h *head) {
	l.next = anchor{sequence: h.sequence + 1, link: h.linkNext()}
	l.end.Store(uint64(h.position) + uint64(h.padded()))
}

// roll begins a new segment that holds need bytes.
func (l *Log) roll(ctx context.Context, need int64) error {
	size := l.segments.sizeFor(need)
	began := time.Now()
	g, err := l.segments.take(ctx, size, l.failed, l.refusing)
	if err != nil {
		return err
	}
	l.metrics.waited.Add(time.Since(began).Seconds())
	return l.begin(g, l.active.limit())
}

// begin makes g the active segment.
func (l *Log) begin(g *segment, start partition.Position) error {
	h := segmentHeader{identity: identity{l.wal, start}, anchor: l.next, size: g.size, durable: l.durable.Load(), run: l.run,
		truncated: l.truncated}
	if err := l.segments.adopt(g, h, l.block); err != nil {
		return err
	}
	if err := l.guard.update(func(e *extent) {
		if e.wal != l.wal {
			*e = extent{wal: l.wal, oldest: start, process: e.process, next: e.next}
		}
		e.newest, e.durable = start, max(e.durable, l.durable.Load())
	}); err != nil {
		return err
	}
	l.active = g
	l.end.Store(uint64(g.first()))
	return nil
}
