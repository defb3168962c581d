package wal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// begin finds out which log this is and where its chain begins.
func (w *walker) begin(ctx context.Context) error {
	for _, seg := range w.segments {
		h, err := w.header(ctx, seg)
		if err != nil {
			return err
		}
		w.headers = append(w.headers, h)
		if h == nil {
			continue
		}
		if w.wal != uuid.Nil && w.wal != h.wal {
			return fmt.Errorf("%w: %s and the segments before it belong to different logs; move one of them away", ErrCorrupt, seg.name)
		}
		w.wal, w.maxRun, seg.size = h.wal, max(w.maxRun, h.run), h.size
	}
	if w.wal == uuid.Nil {
		if err := w.guess(ctx); err != nil {
			return err
		}
	}
	for i, h := range w.headers {
		if h == nil {
			w.at, w.off = i, 0
			w.corrupt(fmt.Errorf("%w: damaged segment header", ErrCorrupt))
		}
	}
	w.at, w.off = 0, blockfs.BlockSize
	if h := w.headers[0]; h != nil {
		w.next, w.run, w.truncated = h.anchor, h.run, h.truncated
		return nil
	}
	w.durable = ^uint64(0) - 1 // whatever comes first is the beginning
	more, err := w.resume(ctx)
	w.durable = 0
	if err == nil && !more {
		err = fmt.Errorf("%w: no group in %s is readable; restore the directory, or move it away to start without what has not been uploaded", ErrCorrupt, w.segments[0].name)
	}
	return err
}

// header returns the header of seg, nil if it is damaged.
func (w *walker) header(ctx context.Context, seg *segment) (*segmentHeader, error) {
	b, err := w.window.bytes(ctx, seg, 0, blockfs.BlockSize)
	if isFatal(err) {
		return nil, err
	}
	h, err := decodeSegment(b)
	if isFatal(err) {
		return nil, err
	}
	if err != nil || h.position != seg.start {
		return nil, nil
	}
	return &h, nil
}

// guess finds the log's ID when no header tells it: in a group head that is at
// its position and has a valid checksum.
func (w *walker) guess(ctx context.Context) error {
	for _, seg := range w.segments {
		for off := int64(blockfs.BlockSize); off < seg.size; off += blockfs.BlockSize {
			b, err := w.window.bytes(ctx, seg, off, blockfs.BlockSize)
			if isFatal(err) {
				return err
			}
			if err != nil {
				continue
			}
			w.wal = uuid.UUID(b[16:32])
			if _, err := w.head(ctx, seg, off); err == nil {
				return nil
			} else if isFatal(err) {
				return err
			}
		}
	}
	return fmt.Errorf("%w: no segment can be identified; restore the directory, or move it away to start without what has not been uploaded", ErrCorrupt)
}

// candidate is a position at which the chain may continue.
type candidate struct {
	at      int
	off     int64
	next    anchor
	run     uint64
	durable uint64
}

// scanAfter calls f for all heads and segment headers from the current position on,
// until f returns false.
func (w *walker) scanAfter(ctx context.Context, f func(candidate) bool) error {
	for i := w.at; i < len(w.segments); i++ {
		off := w.off
		if i > w.at {
			off = blockfs.BlockSize
			if h := w.headers[i]; h != nil && !f(candidate{i, off, h.anchor, h.run, h.durable}) {
				return nil
			}
		}
		for seg := w.segments[i]; off < seg.size; off += blockfs.BlockSize {
			h, err := w.head(ctx, seg, off)
			if isFatal(err) {
				return err
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err == nil && !f(candidate{i, off, h.anchor, h.run, h.durable}) {
				return nil
			}
		}
	}
	return nil
}

// scan looks, once, for the highest sequence number that the rest of the log knew
// to be durable.
func (w *walker) scan(ctx context.Context) error {
	if w.scanned {
		return nil
	}
	w.scanned, w.from = true, w.mark()
	if k := w.known; k != nil && k.scanned && k.from == w.from {
		w.durable, w.later, w.maxRun = max(w.durable, k.durable), k.later, max(w.maxRun, k.maxRun)
		return nil
	}
	return w.scanAfter(ctx, func(c candidate) bool {
		w.maxRun = max(w.maxRun, c.run)
		if c.run >= w.run && c.next.sequence >= w.next.sequence {
			w.durable = max(w.durable, c.durable)
			w.later = true
		}
		return true
	})
}

// continues reports whether a head of this run or a later one lies beyond the end.
// The scan knows if it started here rather than at an earlier hole.
func (w *walker) continues(ctx context.Context) (later bool, err error) {
	if w.from == w.mark() {
		return w.later, nil
	}
	err = w.scanAfter(ctx, func(c candidate) bool {
		later = c.run >= w.run && c.next.sequence >= w.next.sequence
		return !later
	})
	return later, err
}

// resume moves to the first position after a hole at which the chain continues,
// and reports whether there is one. Everything before it was durable, so nothing
// in between was trimmed.
func (w *walker) resume(ctx context.Context) (more bool, err error) {
	err = w.scanAfter(ctx, func(c candidate) bool {
		if c.run < w.run || c.next.sequence <= w.next.sequence || c.next.sequence > w.durable+1 {
			return true
		}
		w.at, w.off, w.next, w.run, more = c.at, c.off, c.next, c.run, true
		return false
	})
	return more, err
}

// beyond returns the segments after the end; nothing in them counts.
func (w *walker) beyond() []*segment { return w.segments[w.at+1:] }
