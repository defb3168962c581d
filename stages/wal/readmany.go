package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// Limits for coalescing reads in ReadMany. Reading across a gap costs less than
// another read.
const (
	spanBytes     = 256 << 10
	gapBytes      = 32 << 10
	spansInFlight = 4 // in flight
)

// spanBuffers have room for a span in whole blocks, which are read without a copy.
var spanBuffers = sync.Pool{New: func() any { b := blockfs.Aligned(spanBytes + 2*blockfs.BlockSize); return &b }}

// ReadMany fills reads, which it sorts by position: adjacent ones are coalesced
// into larger reads, several of which run concurrently. Each read has its own
// error, as ReadAt returns it; a failed read does not affect the others. Safe for
// concurrent use, also with appends.
func (l *Log) ReadMany(ctx context.Context, reads []*partition.Read) {
	slices.SortFunc(reads, func(a, b *partition.Read) int { return cmp.Compare(a.Entry.Position, b.Entry.Position) })
	var g errgroup.Group
	g.SetLimit(spansInFlight)
	for len(reads) > 0 {
		n := coalesce(reads)
		some := reads[:n]
		g.Go(func() error { l.readSpan(ctx, some); return nil })
		reads = reads[n:]
	}
	_ = g.Wait() // each read has its own error
}

// coalesce returns how many of the first reads to coalesce.
func coalesce(reads []*partition.Read) int {
	first := reads[0].Entry
	end := first.Position + partition.Position(first.Size)
	for n := 1; n < len(reads); n++ {
		e := reads[n].Entry
		next := e.Position + partition.Position(e.Size)
		if e.Position < end || e.Position-end > gapBytes || next-first.Position > spanBytes {
			return n
		}
		end = next
	}
	return len(reads)
}

// readSpan reads coalesced reads at once, or one by one if that fails: they
// may cross a segment boundary or include an unreadable part.
func (l *Log) readSpan(ctx context.Context, reads []*partition.Read) {
	if len(reads) > 1 && l.readTogether(reads) == nil {
		return
	}
	for _, r := range reads {
		if r.Err = ctx.Err(); r.Err == nil {
			r.Err = l.ReadAt(ctx, r.Entry, r.Into)
		}
	}
}

var errTwoSegments = errors.New("the read crosses a segment boundary")

func (l *Log) readTogether(reads []*partition.Read) error {
	first, last := reads[0].Entry, reads[len(reads)-1].Entry
	g, err := l.segments.pin(first.Position)
	if err != nil {
		return err
	}
	defer l.segments.unpin(g)
	other, err := l.segments.pin(last.Position)
	if err != nil {
		return err
	}
	defer l.segments.unpin(other)
	if other != g {
		return errTwoSegments
	}
	buffer, _ := spanBuffers.Get().(*[]byte)
	defer spanBuffers.Put(buffer)
	from := first.Position &^ (blockfs.BlockSize - 1)
	end := blockfs.AlignUp(int64(last.Position) + int64(last.Size))
	b := (*buffer)[:end-int64(from)]
	if err := readFull(g, from, b); err != nil {
		return err
	}
	for _, r := range reads {
		if len(r.Into) != int(r.Entry.Size) {
			return fmt.Errorf("read batches of %d bytes into %d", r.Entry.Size, len(r.Into))
		}
		copy(r.Into, b[r.Entry.Position-from:])
		if r.Err = verifyBatches(r.Into, r.Entry); r.Err != nil {
			return r.Err
		}
	}
	return nil
}
