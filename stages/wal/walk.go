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

// Recovery follows the chain of groups from the first segment on. Its rules:
//
//  1. A group counts if its head is right and says where it is, its number and
//     the link to the one before it are those expected, and its body is right.
//  2. Where the expected group is not, it may be the first of the next segment;
//     the header of that says so.
//  3. Otherwise there is a hole. All heads and headers behind it are looked at for
//     the highest sequence that any of them knew to be durable. A hole above that
//     is the torn tail: its group was acknowledged to nobody, nor any after it,
//     since they complete in order. The log ends there.
//  4. A hole at or below it is corruption, for it was durable once. It is
//     reported, and the walk goes on: behind the group if its head is right, with
//     those batches that prove themselves, else at the first head behind it that
//     follows in the same chain.
//  5. A hole that the disk cannot read is corruption in any case.
//
// That a later group exists proves nothing by itself: several are written at
// once, so after a crash a group may be there and the one before it not.
//
// Heads from before an earlier recovery trimmed the tail may lie behind the end,
// at their right places. Links tell them apart, as every head has the run that
// wrote it, and rules 3 and 4 look only at heads of the present run or later.

// found is a group at its place.
type found struct {
	segment *segment
	head    head
	image   []byte // of head.length bytes, valid until the walk goes on
	damage  error  // of the body; the head is right
}

// walker walks a log. It changes nothing.
type walker struct {
	segments []*segment
	headers  []*segmentHeader // nil where damaged
	window   window
	visit    func(found) error

	wal    uuid.UUID
	at     int   // segment of the place
	off    int64 // in it
	next   anchor
	run    uint64 // of the last group
	maxRun uint64 // of any head seen

	unsealed  bool   // the last group is not a seal
	truncated uint64 // sequence of the last truncation, 0: none

	scanned bool
	from    mark    // where the scan began
	known   *walker // has walked the end of the same log before; may be nil
	durable uint64  // highest that the scan found
	later   bool    // the scan found a head of this run or later
	blind   []blind // damage that hides what it has damaged
	report  Report
}

// mark is a place in the chain.
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

// walk goes through the whole log and leaves the walker at its end.
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

// isFatal tells an error that ends the walk from one that describes the bytes.
func isFatal(err error) bool {
	return err != nil && !errors.Is(err, errNotWritten) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF)
}

func (w *walker) end() partition.Position {
	return w.segments[w.at].start + partition.Position(w.off)
}

// read looks at the group at the place. Without an error its head is right,
// though it may not be the one expected.
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

// head returns the head at off of seg, proven.
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

// take counts g and goes behind it.
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

// hole decides what it means that the expected group is not at the place, where
// read returned g and why. It reports whether the log goes on.
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
		later, err := w.goesOn(ctx)
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
	b := blind{hole: hole{from: w.next.sequence}, what: fmt.Sprintf("group %d in %s is damaged, and what was in it is not known", w.next.sequence, w.segments[w.at].name)}
	if more, err = w.resume(ctx); more {
		b.to = w.next.sequence
	}
	w.blind = append(w.blind, b)
	return more, err
}

// blind is damage of which nobody knows what it has hit.
type blind struct {
	hole
	what string
}

// hole is a row of groups that are not there, from the one to before the other. At the end of the log
// there is no other: groups to come take that place.
type hole struct{ from, to uint64 }

// behindShortFile reports whether the place is behind the end of a file that was longer once. Files of
// a log are allocated whole and never get shorter, so that is no write that was not finished.
func (w *walker) behindShortFile(why error) bool {
	g := w.segments[w.at]
	return errors.Is(why, io.ErrUnexpectedEOF) && g.file.Size() < g.size
}

func (w *walker) corrupt(why error) {
	w.report.Corruptions = append(w.report.Corruptions, Corruption{Segment: w.segments[w.at].name,
		Position: w.end(), Sequence: w.next.sequence, Reason: why.Error()})
}
