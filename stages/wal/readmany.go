package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/internal/partition"
)

// What ReadMany reads at once. A gap that is read along costs less than another read.
const (
	stretchBytes = 256 << 10
	gapBytes     = 32 << 10
	stretches    = 4 // under way
)

var stretchBuffers = sync.Pool{New: func() any { b := make([]byte, stretchBytes); return &b }}

// ReadMany fills reads, which it sorts by position: those that lie near each other in
// the log are read together, some such stretches at a time. Each read has an error of
// its own, as ReadAt returns it; one that fails spoils no other. Safe for concurrent
// use, also with appends.
func (l *Log) ReadMany(ctx context.Context, reads []*partition.Read) {
	slices.SortFunc(reads, func(a, b *partition.Read) int { return cmp.Compare(a.Entry.Position, b.Entry.Position) })
	var g errgroup.Group
	g.SetLimit(stretches)
	for len(reads) > 0 {
		n := together(reads)
		some := reads[:n]
		g.Go(func() error { l.readStretch(ctx, some); return nil })
		reads = reads[n:]
	}
	_ = g.Wait() // each read has its own
}

// together says how many of the first reads are read at once.
func together(reads []*partition.Read) int {
	first := reads[0].Entry
	end := first.Position + partition.Position(first.Size)
	for n := 1; n < len(reads); n++ {
		e := reads[n].Entry
		next := e.Position + partition.Position(e.Size)
		if e.Position < end || e.Position-end > gapBytes || next-first.Position > stretchBytes {
			return n
		}
		end = next
	}
	return len(reads)
}

// readStretch reads what lies together, or one by one if that fails: the stretch may
// leave its segment, or have a part that cannot be read.
func (l *Log) readStretch(ctx context.Context, reads []*partition.Read) {
	if len(reads) > 1 && l.readTogether(reads) == nil {
		return
	}
	for _, r := range reads {
		if r.Err = ctx.Err(); r.Err == nil {
			r.Err = l.ReadAt(ctx, r.Entry, r.Into)
		}
	}
}

var errTwoSegments = errors.New("the stretch goes from one segment into the next")

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
	buffer, _ := stretchBuffers.Get().(*[]byte)
	defer stretchBuffers.Put(buffer)
	b := (*buffer)[:last.Position+partition.Position(last.Size)-first.Position]
	if err := readFull(g, first.Position, b); err != nil {
		return err
	}
	for _, r := range reads {
		if len(r.Into) != int(r.Entry.Size) {
			return fmt.Errorf("read batches of %d bytes into %d", r.Entry.Size, len(r.Into))
		}
		copy(r.Into, b[r.Entry.Position-first.Position:])
		if r.Err = verifyRun(r.Into, r.Entry); r.Err != nil {
			return r.Err
		}
	}
	return nil
}
