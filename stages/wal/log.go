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
	// ErrFailed: a write or sync failed, and the log accepts no more writes.
	ErrFailed = fault.Refused(kerr.KafkaStorageError, "the WAL has failed and accepts no writes until the broker is restarted")
	// ErrReclaimed: no segment holds the position any more, or none holds it yet.
	ErrReclaimed = fault.Transient(kerr.KafkaStorageError, "position is not in the WAL")
	// ErrCorrupt: what is on disk is not what was written.
	ErrCorrupt = fault.Lost(kerr.KafkaStorageError, "WAL is corrupt")
	// ErrLost: the log lacks acknowledged groups, and their partitions are unknown.
	ErrLost = errors.New("the WAL has lost what was on disk")
	// ErrForeign: the log is not the one recorded in the metadata.
	ErrForeign = errors.New("the WAL is not the one recorded in the metadata")
	// ErrStopping: the log is full and the broker no longer waits for space.
	ErrStopping = fault.Transient(kerr.NotLeaderForPartition, "the WAL is full and the broker is shutting down")
	// ErrNotRecovered: the stage was run before Recover.
	ErrNotRecovered = errors.New("the WAL must be recovered before it is written")
)

// Log is the write-ahead log. Open it, Recover it, then Run it as a stage; reads,
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
	accept   bool // continue despite losses
	metrics  metrics
	rate     func(end partition.Position) float64

	// The following fields belong to Recover, then to Run.
	wal       uuid.UUID
	run       uint64
	next      anchor
	truncated uint64 // sequence of the last truncation
	active    *segment
	tried     bool // Recover was called
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

// Deps are what a Log needs from outside.
type Deps struct {
	Pool *blockfs.Pool // for groups and reads
	Done Done          // reports what the log may drop
	// Guard is a separate directory for the log's guard; nil: no guard.
	Guard blockfs.FS
	// OnRecord is the ID of the log known to the metadata, zero if there is none;
	// nil skips the check.
	OnRecord *uuid.UUID
	// Owner is the process that last took the log over according to the metadata,
	// zero if there is none; nil skips the check. See TakeOver.
	Owner *uuid.UUID
	// AcceptLost makes Recover continue with what is left.
	AcceptLost bool
	// GivingBack is called before a segment is reclaimed, and retried if it fails.
	// May be nil.
	GivingBack func() error
	// Rate returns the bytes per second that may be appended when the log ends at end;
	// 0: unlimited. Called for each group. May be nil.
	Rate     func(end partition.Position) float64
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// Open opens the log in fs, which it uses exclusively. Run it after Recover;
// Close it in any case.
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
		truncations: make(chan truncation), ended: make(chan struct{}), guardDue: make(chan struct{}, 1), onRecord: d.OnRecord, owner: d.Owner, accept: d.AcceptLost, rate: d.Rate}
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

// accessOf names how the files of fs are opened, if it tells.
func accessOf(fs blockfs.FS) string {
	if a, ok := fs.(interface{ Access() string }); ok {
		return a.Access()
	}
	return "unknown"
}

// ID returns the ID of the log. Call it after Recover.
func (l *Log) ID() uuid.UUID { return l.wal }

// End returns the position of the next group.
func (l *Log) End() partition.Position { return partition.Position(l.end.Load()) }

// Usage returns the bytes from the oldest segment to the end of the log, and the
// maximum size of all segments.
func (l *Log) Usage() (usedBytes, capacityBytes int64) {
	return l.segments.used(l.End()), l.cfg.CapacityBytes
}

// Pressure fires when the log is three quarters full, when the disk has no space
// for the next segment, before that is needed, and repeatedly while groups wait
// for space: somebody should upload, then call Reclaim.
func (l *Log) Pressure() <-chan struct{} { return l.segments.pressure }

// Reclaim makes the log look for segments whose content Done lets it drop, and
// reclaim them soon. Call it whenever something has become done.
func (l *Log) Reclaim() { signal(l.segments.wake) }

// Refuse makes the log refuse groups with ErrStopping, starting with the first
// one that there is no space for. Nothing is lost: those groups were not
// acknowledged.
func (l *Log) Refuse() { l.refuse.Do(func() { close(l.refusing) }) }

// Err returns nil, or an ErrFailed with the error that latched the log.
func (l *Log) Err() error {
	if p := l.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// Failed returns a channel that is closed when the log has failed.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// latch ends all writing because of cause. Only the first cause counts.
func (l *Log) latch(cause error) {
	l.latchOnce.Do(func() {
		err := fmt.Errorf("%w: %w", ErrFailed, cause)
		l.cause.Store(&err)
		close(l.failed)
		l.metrics.failed.Set(1)
		l.logger.Error("a write to the WAL failed; the broker accepts no more writes until it is restarted", "err", cause)
	})
}

// Close closes the files. Run and all reads must have returned.
func (l *Log) Close() error {
	l.writer.Close()
	return errors.Join(l.segments.close(), l.guard.close())
}

// advance raises an atomic that never decreases and has one writer at a time.
func advance(v *atomic.Uint64, to uint64) {
	if to > v.Load() {
		v.Store(to)
	}
}

// sealReserve is the space that groups leave in a segment, so that the last one can
// always be sealed.
const sealReserve = blockfs.BlockSize

// place assigns the group described by h its position, in a new segment if the
// active one has too little space left, and completes h.
func (l *Log) place(ctx context.Context, h *head) (*segment, error) {
	need := int64(h.padded()) + sealReserve
	if l.active.spaceFrom(l.End()) < need {
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

// advanceEnd advances the end of the log past h, whose image is complete.
func (l *Log) advanceEnd(h *head) {
	l.next = anchor{sequence: h.sequence + 1, link: h.linkNext()}
	l.end.Store(uint64(h.position) + uint64(h.padded()))
}

// roll starts a new segment that can hold need bytes.
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
