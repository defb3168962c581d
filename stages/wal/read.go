package wal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// ReadAt fills dst, of e.Size bytes, with the batches of e and verifies them. It
// fails with ErrReclaimed when the log no longer holds the position, and with
// ErrCorrupt. Safe for concurrent use, also with appends.
func (l *Log) ReadAt(_ context.Context, e partition.Entry, dst []byte) error {
	g, err := l.segments.pin(e.Position)
	if err != nil {
		return err
	}
	defer l.segments.unpin(g)
	if len(dst) != int(e.Size) {
		return fmt.Errorf("read batches of %d bytes into %d", e.Size, len(dst))
	}
	if err := readFull(g, e.Position, dst); err != nil {
		return err
	}
	return verifyBatches(dst, e)
}

// verifyBatches verifies that batches holds whole, consecutive batches starting at
// e's base offset.
func verifyBatches(batches []byte, e partition.Entry) error {
	base, at := e.Base, e.Position
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		} else {
			err = verifyBatch(b, base, e.Epoch)
		}
		if err != nil {
			return fmt.Errorf("batch at position %d: %w", at, err)
		}
		base, at, batches = b.NextOffset(), at+partition.Position(len(b)), rest
	}
	return nil
}

func readFull(g *segment, pos partition.Position, p []byte) error {
	n, err := g.file.ReadAt(p, g.offset(pos))
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%d bytes at position %d: %w", len(p), pos, ErrReclaimed)
	}
	return err
}

// ReadGroup returns the verified image of the group at pos; the caller releases
// it. Errors and concurrency are those of ReadAt.
func (l *Log) ReadGroup(ctx context.Context, pos partition.Position) (*blockfs.Buffer, error) {
	g, err := l.segments.pin(pos)
	if err != nil {
		return nil, err
	}
	defer l.segments.unpin(g)
	b, err := l.pool.Get(ctx, blockfs.BlockSize)
	if err != nil {
		return nil, err
	}
	h, err := l.readHead(g, pos, b.Bytes())
	if err == nil && h.padded() > blockfs.BlockSize {
		b.Release()
		if b, err = l.pool.Get(ctx, h.padded()); err != nil {
			return nil, err
		}
		err = readFull(g, pos, b.Bytes())
	}
	if err == nil {
		err = errors.Join(h.verifyTable(b.Bytes()), h.verifyBody(b.Bytes()))
	}
	if err != nil {
		b.Release()
		return nil, fmt.Errorf("group at position %d: %w", pos, err)
	}
	return b, nil
}

func (l *Log) readHead(g *segment, pos partition.Position, block []byte) (head, error) {
	if pos%blockfs.BlockSize != 0 {
		return head{}, ErrReclaimed
	}
	if err := readFull(g, pos, block); err != nil {
		return head{}, err
	}
	h, err := decodeFixed(block, identity{l.wal, pos}, g.spaceFrom(pos))
	if errors.Is(err, errNotWritten) {
		err = ErrReclaimed // no group starts here
	}
	return h, err
}
