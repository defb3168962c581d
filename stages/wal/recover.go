package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Recovered is one batch found by Recover.
type Recovered struct {
	Position  partition.Position // of the batch
	Group     partition.Position // of the group that holds it
	Partition topic.Partition
	Batch     record.Batch // valid during the call only
	Base      int64
	Epoch     int32
	Size      int32
	Damaged   bool // the batch existed but is damaged; Batch is nil
}

// Corruption is a part of the log that was durable once and is now damaged or
// unreadable.
type Corruption struct {
	Segment  string             `json:"segment"`  // file name
	Position partition.Position `json:"position"` // where it begins
	Sequence uint64             `json:"sequence"` // of the first group concerned
	Reason   string             `json:"reason"`
}

// Report describes what was found in a log.
type Report struct {
	Segments     int                `json:"segments"`
	Groups       int                `json:"groups"`
	Batches      int                `json:"batches"`
	Void         int                `json:"void"` // batches discarded by a later truncation
	Truncations  int                `json:"truncations"`
	Bytes        int64              `json:"bytes"`         // of batches
	End          partition.Position `json:"end"`           // where the next group goes
	LastSequence uint64             `json:"last_sequence"` // of the last group
	// Torn: an unfinished, thus unacknowledged, tail was trimmed.
	Torn bool `json:"torn"`
	// Corruptions is not empty when acknowledged batches may be missing.
	Corruptions []Corruption  `json:"corruptions,omitempty"`
	Took        time.Duration `json:"took_ns"`
}

// Recover reads the log and calls fn for every batch that no truncation has made
// void, in log order, then makes the log ready for Run. After corruption it keeps
// what is readable and reports the rest; the caller decides whether it may serve
// what remains. It reads 4 MiB at a time, with several concurrent reads and one
// window of read-ahead, or a whole group if that is larger.
//
// It fails with the error of fn, with those of the disk, and with ErrCorrupt when
// no start can be found at all. To try again, open the log anew: a failed sync is
// not repeated. A crash during Recover does not change what the next one finds.
func (l *Log) Recover(ctx context.Context, fn func(Recovered) error) (Report, error) {
	if l.tried {
		return Report{}, errors.New("Recover was already called on this WAL; open it again")
	}
	l.tried = true
	began := time.Now()
	report, err := l.recover(ctx, fn)
	l.metrics.corruptions.Add(float64(len(report.Corruptions)))
	for _, c := range report.Corruptions { // they may be why fn failed
		l.logger.Error("WAL is corrupt", "segment", c.Segment, "position", c.Position, "sequence", c.Sequence, "reason", c.Reason)
	}
	if err != nil {
		return report, fmt.Errorf("recover the WAL: %w", err)
	}
	report.Took = time.Since(began)
	l.recovered = true
	l.logger.Info("WAL recovered", "segments", report.Segments, "groups", report.Groups, "batches", report.Batches,
		"void", report.Void, "bytes", report.Bytes, "end", report.End, "torn", report.Torn, "corruptions", len(report.Corruptions), "took", report.Took)
	return report, nil
}

func (l *Log) recover(ctx context.Context, fn func(Recovered) error) (Report, error) {
	live := l.segments.snapshot()
	if len(live) == 0 {
		if err := l.checkComplete(nil, nil); err != nil {
			return Report{}, err
		}
		return l.create(ctx)
	}
	v, known, err := survey(ctx, live, l.pool)
	if err != nil {
		return Report{}, err
	}
	var w *walker
	w = newWalker(live, l.pool, func(g found) error { return eachBatch(&w.report, g, v, fn) })
	w.known = known
	if err := w.walk(ctx); err != nil {
		return w.report, err
	}
	if err := l.checkComplete(live, w); err != nil {
		return w.report, err
	}
	if err := l.adoptEnd(w); err != nil {
		return w.report, err
	}
	w.report.LastSequence = w.next.sequence - 1
	return w.report, nil
}

// checkComplete fails with ErrForeign if the log is not the one recorded in the metadata,
// and with ErrLost if it lacks what the guard knew, or groups whose partitions
// are unknown. w has walked the log; both arguments are nil if there are no
// segments. Holes accepted before do not count.
func (l *Log) checkComplete(live []*segment, w *walker) error {
	var id uuid.UUID
	var last uint64
	var written bool
	var why []string
	if w != nil {
		id, last, written = w.wal, w.next.sequence-1, w.report.Batches+w.report.Void > 0
		why = l.guard.unaccepted(w.unknown)
	}
	switch record := l.onRecord; {
	case record == nil:
	case id != uuid.Nil && *record != id && (*record != uuid.Nil || written):
		return fmt.Errorf("%w: it is log %s, the metadata records %s", ErrForeign, id, or(*record, "none"))
	case id == uuid.Nil && *record != uuid.Nil:
		why = append(why, fmt.Sprintf("the metadata records log %s, but there is none", *record))
	}
	if l.guard != nil && !l.guard.known && written {
		why = append(why, "its guard is missing, so nobody can tell what else is")
	}
	why = append(why, l.guard.missing(id, live, last)...)
	if l.owner != nil && l.guard.disagrees(*l.owner) {
		why = append(why, "its guard and the metadata are from different starts of the broker: either the log with its guard or the metadata is an older copy")
	}
	if len(why) == 0 {
		return nil
	}
	err := fmt.Errorf("%w: %s", ErrLost, strings.Join(why, "; "))
	if l.accept {
		l.logger.Error("losses of the WAL were accepted; the broker continues without them", "err", err)
		l.metrics.corruptions.Inc()
		return nil
	}
	return err
}

func or(id uuid.UUID, none string) string {
	if id == uuid.Nil {
		return none
	}
	return id.String()
}

// adoptEnd makes the end that w found the end of the log. What was read may have
// come from a cache of the kernel or the disk, as after a crash of the process
// alone, so it is synced before anything is declared durable, and so are the file
// names: the previous process may have died between a rename and its sync.
func (l *Log) adoptEnd(w *walker) error {
	for _, g := range w.segments[:w.at+1] {
		if err := g.file.Sync(); err != nil {
			return err
		}
	}
	if err := l.segments.fs.SyncDir(); err != nil {
		return err
	}
	end := extent{wal: w.wal, oldest: w.segments[0].start, newest: w.segments[w.at].start, durable: w.next.sequence - 1}
	if err := l.guard.update(func(e *extent) {
		end.process, end.next = e.process, e.next
		end.accept(w.unknown)
		*e = end
	}); err != nil {
		return err
	}
	if err := l.segments.retireLast(len(w.beyond())); err != nil {
		return err
	}
	l.wal, l.next, l.run = w.wal, w.next, nextRun(w.maxRun)
	l.active, l.truncated = w.segments[w.at], w.truncated
	l.end.Store(uint64(w.end()))
	l.completed.Store(w.next.sequence - 1)
	l.durable.Store(w.next.sequence - 1)
	l.unsealed = w.unsealed // all of it is durable now, which a crash had left open
	return nil
}

// create makes a new, empty log.
func (l *Log) create(ctx context.Context) (Report, error) {
	l.wal, l.next, l.run = uuid.New(), anchor{sequence: 1}, nextRun(0)
	if err := l.segments.prepare(); err != nil {
		return Report{}, err
	}
	g, err := l.segments.take(ctx, l.cfg.SegmentSizeBytes, l.failed, nil)
	if err != nil {
		return Report{}, err
	}
	if err := l.begin(g, 0); err != nil {
		return Report{}, err
	}
	return Report{Segments: 1, End: l.End()}, nil
}

// nextRun counts in the upper half. The lower half is random: a run that left no
// trace is not counted, and what it wrote must still differ.
func nextRun(last uint64) uint64 { return (last>>32+1)<<32 | uint64(rand.Uint32()) }

// eachBatch calls fn for the batches of g that are not void: for all if the group
// is intact, else for those that verify.
func eachBatch(report *Report, g found, v voids, fn func(Recovered) error) error {
	if g.head.kind == truncations {
		return nil
	}
	return g.head.rows(g.image, func(e tableRow) error {
		b := record.Batch(g.image[e.at : e.at+e.size : e.at+e.size])
		if v.has(e.partition, g.head.position, e.base) {
			report.Void++
			return nil
		}
		if g.damage != nil && verifyBatch(b, e.base, e.epoch) != nil {
			return fn(Recovered{Position: g.head.position + partition.Position(e.at), Group: g.head.position,
				Partition: e.partition, Base: e.base, Epoch: e.epoch, Size: int32(e.size), Damaged: true})
		}
		report.Batches++
		report.Bytes += int64(e.size)
		g.segment.pending.recovered(e.partition, e.base, b.NextOffset())
		return fn(Recovered{Position: g.head.position + partition.Position(e.at), Group: g.head.position,
			Partition: e.partition, Batch: b, Base: e.base, Epoch: e.epoch, Size: int32(e.size)})
	})
}

// verifyBatch verifies that b is intact and the one meant: fields outside the
// batch's own checksum are compared.
func verifyBatch(b record.Batch, base int64, epoch int32) error {
	if err := b.Verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if b.BaseOffset() != base || b.PartitionLeaderEpoch() != epoch {
		return fmt.Errorf("%w: batch has offset %d and epoch %d, want %d and %d", ErrCorrupt,
			b.BaseOffset(), b.PartitionLeaderEpoch(), base, epoch)
	}
	return nil
}
