package wal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// Recovery follows the chain of groups from the first segment on, by these rules:
//
// 1. A group counts if its head is valid, has the expected position, number and
//    link to the previous group, and its body is valid.
// 2. If the expected group is not at its position, it may be the first of the
//    next segment; that segment's header says so.
// 3. Otherwise there is a hole. All heads and segment headers after it are
//    searched for the highest sequence number that any of them knew to be
//    durable. A hole above that is the torn tail: neither its group nor any later
//    one was acknowledged, since groups complete in order. The log ends there.
// 4. A hole at or below it is corruption, because it was durable once. It is
//    reported, and the walk continues: after the group if its head is valid, with
//    those batches that verify, else at the next head that continues the same
//    chain.
// 5. A hole that the disk cannot read is always corruption.
//
// The existence of a later group proves nothing by itself: several are written
// concurrently, so after a crash a group may be there and the one before it not.
//
// Heads from before an earlier recovery trimmed the tail may lie beyond the end,
// at their correct positions. Links tell them apart, since every head names the
// run that wrote it, and rules 3 and 4 consider only heads of the current run or
// later.

// found is a group found at its position.
type found struct {
	segment *segment
	head    head
	image   []byte // of head.length bytes, valid until the walk continues
	damage  error  // of the body; the head is valid
}

// walker walks a log. It changes nothing.
type walker struct {
	segments []*segment
	headers  []*segmentHeader // nil where damaged
	window   window
	visit    func(found) error

	wal    uuid.UUID
	at     int   // index of the current segment
	off    int64 // offset in it
	next   anchor
	run    uint64 // of the last group
	maxRun uint64 // of any head seen

	unsealed  bool   // the last group is not a seal
	truncated uint64 // sequence of the last truncation, 0: none

	scanned bool
	from    mark          // where the scan started
	known   *walker       // has walked the end of the same log before; may be nil
	durable uint64        // highest sequence found by the scan
	later   bool          // the scan found a head of this run or a later one
	unknown []unknownLoss // damage that hides what it has hit
	report  Report
}

// mark is a position in the chain.
type mark struct {
	segment *segment
	off     int64
	next    anchor
	run     uint64
}

func (w *walker) mark() mark { return mark{w.segments[w.at], w.off, w.next, w.run} }

func newWalker(segments []*segment, pool *blockfs.Pool, visit func(found) error) *walker {
	largest := int64(blockfs.BlockSize)
	for _, g := range segments {
		largest = max(largest, blockfs.AlignUp(g.file.Size()))
	}
	return &walker{segments: segments, window: window{pool: pool, size: int(min(windowSize, largest))}, visit: visit}
}

// walk walks the whole log and leaves the walker at its end.
func (w *walker) walk(ctx context.Context) error {
	defer w.window.close()
	w.report.Segments = len(w.segments)
	if err := w.begin(ctx); err != nil {
		return err
	}
	for {
		g, err := w.read(ctx)
		switch {
		case isFatal(err):
			return err
		case err == nil && g.head.anchor == w.next && g.damage == nil:
			if err := w.take(g); err != nil {
				return err
			}
			continue
		}
		rolled, rollErr := w.roll(ctx)
		if rollErr != nil {
			return rollErr
		}
		if rolled {
			continue
		}
		if more, err := w.hole(ctx, g, err); err != nil || !more {
			w.report.End = w.end()
			return err
		}
	}
}

// isFatal distinguishes an error that ends the walk from one that describes the
// bytes.
func isFatal(err error) bool {
	return err != nil && !errors.Is(err, errNotWritten) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF)
}

func (w *walker) end() partition.Position {
	return w.segments[w.at].start + partition.Position(w.off)
}

// read reads the group at the current position. Without an error its head is
// valid, though it may not be the expected one.
func (w *walker) read(ctx context.Context) (found, error) {
	seg := w.segments[w.at]
	h, err := w.head(ctx, seg, w.off)
	if err != nil {
		return found{}, err
	}
	g := found{segment: seg, head: h}
	g.image, g.damage = w.window.bytes(ctx, seg, w.off, h.length)
	if isFatal(g.damage) || g.image == nil {
		return found{}, g.damage
	}
	if g.damage == nil {
		g.damage = h.verifyBody(g.image)
	}
	return g, nil
}

// head returns the verified head at off of seg.
func (w *walker) head(ctx context.Context, seg *segment, off int64) (head, error) {
	if off+blockfs.BlockSize > seg.size {
		return head{}, errNotWritten
	}
	b, err := w.window.bytes(ctx, seg, off, blockfs.BlockSize)
	if err != nil {
		return head{}, err
	}
	h, err := decodeFixed(b, identity{w.wal, seg.start + partition.Position(off)}, seg.size-off)
	if err != nil {
		return head{}, err
	}
	if b, err = w.window.bytes(ctx, seg, off, h.end()); err != nil {
		return head{}, err
	}
	return h, h.verifyTable(b)
}

// take counts g and moves past it.
func (w *walker) take(g found) error {
	if err := w.visit(g); err != nil {
		return err
	}
	w.report.Groups++
	w.run = g.head.run
	w.maxRun = max(w.maxRun, w.run)
	w.next = anchor{sequence: g.head.sequence + 1, link: g.head.linkNext()}
	w.unsealed = g.head.count > 0
	if g.head.kind == truncations {
		w.truncated = g.head.sequence
		w.report.Truncations += g.head.count
	}
	w.off += int64(g.head.padded())
	return nil
}

// roll moves to the next segment if the expected group is its first.
func (w *walker) roll(ctx context.Context) (bool, error) {
	i := w.at + 1
	if i == len(w.segments) || w.segments[i].start != w.segments[w.at].limit() {
		return false, nil
	}
	seg, header := w.segments[i], w.headers[i]
	if header == nil {
		h, err := w.head(ctx, seg, blockfs.BlockSize)
		if err != nil || h.anchor != w.next {
			return false, fatalOnly(err)
		}
	} else if header.anchor != w.next {
		return false, nil
	}
	w.at, w.off = i, blockfs.BlockSize
	if header != nil {
		w.run = header.run
	}
	return true, nil
}

func fatalOnly(err error) error {
	if isFatal(err) {
		return err
	}
	return nil
}

// hole decides what it means that the expected group is not at the current
// position, where read returned g and why. It reports whether the log continues.
func (w *walker) hole(ctx context.Context, g found, why error) (more bool, err error) {
	if err := w.scan(ctx); err != nil {
		return false, err
	}
	ours := why == nil && g.head.anchor == w.next // with a damaged body
	if ours {
		why = g.damage
	}
	if w.next.sequence > w.durable && !errors.Is(why, errUnreadable) && !w.behindShortFile(why) {
		unfinished := why != nil && !errors.Is(why, errNotWritten) && !errors.Is(why, io.ErrUnexpectedEOF)
		later, err := w.continues(ctx)
		w.report.Torn = unfinished || later
		return false, err
	}
	if why == nil || errors.Is(why, errNotWritten) || errors.Is(why, io.ErrUnexpectedEOF) {
		why = fmt.Errorf("%w: the group is missing", ErrCorrupt)
	}
	w.corrupt(why)
	if ours {
		if g, err = w.read(ctx); err != nil { // the scan has moved the window
			return false, err
		}
		return true, w.take(g)
	}
	b := unknownLoss{hole: hole{from: w.next.sequence}, what: fmt.Sprintf("group %d in %s is damaged, and its content is unknown", w.next.sequence, w.segments[w.at].name)}
	if more, err = w.resume(ctx); more {
		b.to = w.next.sequence
	}
	w.unknown = append(w.unknown, b)
	return more, err
}

// unknownLoss is damage of which it is unknown what it hit.
type unknownLoss struct {
	hole
	what string
}

// hole is a range of missing groups, from inclusive, to exclusive. At the end of
// the log to is 0: future groups will take those numbers.
type hole struct{ from, to uint64 }

// behindShortFile reports whether the current position is beyond the end of a
// file that was longer once. Files of a log are allocated whole and never shrink,
// so that is not an unfinished write.
func (w *walker) behindShortFile(why error) bool {
	g := w.segments[w.at]
	return errors.Is(why, io.ErrUnexpectedEOF) && g.file.Size() < g.size
}

func (w *walker) corrupt(why error) {
	w.report.Corruptions = append(w.report.Corruptions, Corruption{Segment: w.segments[w.at].name,
		Position: w.end(), Sequence: w.next.sequence, Reason: why.Error()})
}
