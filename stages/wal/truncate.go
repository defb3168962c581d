package wal

import (
	"context"
	"errors"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// Recovery collects all truncations before it hands out the first batch. Segment
// headers say whether there is one before them, so that in a log without any only
// the last segment is read twice.

// errEnded: the stage has returned.
var errEnded = errors.New("the WAL is not running")

// truncation is a call of Truncate.
type truncation struct {
	partition topic.Partition
	offset    int64
	done      chan error // capacity 1
}

// Truncate makes void what p has in the log from offset on, which must be a batch
// boundary or the end, and returns once that is durable: no restart brings it
// back. Everything submitted for p before must have settled, and nothing may be
// submitted meanwhile. The log must be running. After an error it is unknown
// whether the truncation happened; it can be repeated, unless the log has failed.
func (l *Log) Truncate(ctx context.Context, p topic.Partition, offset int64) error {
	t := truncation{partition: p, offset: offset, done: make(chan error, 1)}
	select {
	case l.truncations <- t:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.ended:
		return errEnded
	}
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// truncate writes t once everything before it is durable. While it holds all
// tickets, no write is in flight.
func (b *builder) truncate(ctx context.Context, t truncation) error {
	l, all := b.log, make([]*ticket, 0, cap(b.completer.free))
	for range cap(all) {
		all = append(all, <-b.completer.free)
	}
	for _, ticket := range all {
		b.completer.free <- ticket
	}
	if !l.cfg.FsyncOnWrite {
		b.completer.flusher.flush()
	}
	if err := l.Err(); err != nil {
		return err
	}
	if l.durable.Load()+1 != l.next.sequence {
		return errEnded // a group was nacked while the graph shuts down
	}
	h := head{length: headSize + rowSize, count: 1, kind: truncations}
	if _, err := l.place(ctx, &h); err != nil {
		if ctx.Err() == nil {
			l.latch(err)
		}
		return err
	}
	if err := l.writeAlone(&h, tableRow{partition: t.partition, base: t.offset}); err != nil {
		return err
	}
	l.segments.truncated(t.partition, t.offset)
	return nil
}

// writeAlone writes a truncation of one row; no other write is in flight.
func (l *Log) writeAlone(h *head, row tableRow) error {
	image := l.block[:h.padded()]
	clear(image)
	row.encode(image[headSize:])
	h.encode(image)
	l.advanceEnd(h)
	l.unsealed = true
	if err := l.active.file.WriteAt(image, l.active.offset(h.position), blockfs.Durable); err != nil {
		l.latch(err)
		return l.Err()
	}
	advance(&l.completed, h.sequence)
	advance(&l.durable, h.sequence)
	l.truncated = h.sequence
	l.metrics.groups.Inc()
	l.metrics.truncations.Inc()
	l.metrics.bytes.Add(float64(h.padded()))
	return nil
}

// voids are the truncations of a log, by partition, in log order.
type voids map[topic.Partition][]void

// void discards everything from offset on that lies before position at.
type void struct {
	at     partition.Position
	offset int64
}

// has reports whether a batch of p in the group at that position is void.
func (v voids) has(p topic.Partition, group partition.Position, base int64) bool {
	for _, t := range v[p] {
		if group < t.at && base >= t.offset {
			return true
		}
	}
	return false
}

// survey finds the truncations of a log. It walks only the last segment if the
// header of that says there are none before it, otherwise the whole log. It also
// returns the walker, which knows what lies beyond the end.
func survey(ctx context.Context, live []*segment, pool *blockfs.Pool) (voids, *walker, error) {
	v := voids{}
	visit := func(g found) error {
		if g.head.kind != truncations {
			return nil
		}
		return g.head.rows(g.image, func(e tableRow) error {
			v[e.partition] = append(v[e.partition], void{g.head.position, e.base})
			return nil
		})
	}
	from, err := surveyFrom(ctx, live, pool)
	if err != nil {
		return nil, nil, err
	}
	w := newWalker(live[from:], pool, visit)
	if err = w.walk(ctx); errors.Is(err, ErrCorrupt) {
		err = nil // the main walk will report it
	}
	return v, w, err
}

// surveyFrom returns the first segment that may contain a truncation that counts.
func surveyFrom(ctx context.Context, live []*segment, pool *blockfs.Pool) (int, error) {
	w := newWalker(live, pool, nil)
	defer w.window.close()
	last := len(live) - 1
	first, err := w.header(ctx, live[0])
	if err != nil {
		return 0, err
	}
	end, err := w.header(ctx, live[last])
	if err != nil || first == nil || end == nil || first.wal != end.wal || end.truncated >= first.sequence {
		return 0, err
	}
	return last, nil
}
