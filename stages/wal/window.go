package wal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// errUnreadable: the disk does not give the bytes back.
var errUnreadable = fmt.Errorf("%w: the disk cannot read it", ErrCorrupt)

// windowSize is how much of a segment is read at once.
const windowSize = 4 << 20

// window reads segments in large pieces and hands out small ones. Blocks that
// the disk cannot read are zeroes and are remembered.
type window struct {
	pool *blockfs.Pool
	size int
	buf  *blockfs.Buffer
	seg  *segment
	off  int64 // of the first byte in buf, block-aligned
	n    int   // bytes in buf
	bad  []int64
}

func (w *window) close() {
	if w.buf != nil {
		w.buf.Release()
		w.buf = nil
	}
}

// bytes returns n bytes of g at off, block-aligned, until the next call. err is
// errUnreadable if some of them are not to be believed, io.ErrUnexpectedEOF if
// the file ends before, and anything else if no disk answers.
func (w *window) bytes(ctx context.Context, g *segment, off int64, n int) ([]byte, error) {
	if off+int64(n) > g.file.Size() {
		return nil, io.ErrUnexpectedEOF
	}
	if g != w.seg || off < w.off || off+int64(n) > w.off+int64(w.n) {
		if err := w.load(ctx, g, off, n); err != nil {
			return nil, err
		}
	}
	b := w.buf.Bytes()[off-w.off:][:n]
	for _, bad := range w.bad {
		if bad < off+int64(n) && bad+blockfs.BlockSize > off {
			return b, errUnreadable
		}
	}
	return b, nil
}

// load reads from off on at least n bytes, keeping those it has.
func (w *window) load(ctx context.Context, g *segment, off int64, n int) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	kept := 0
	old := w.buf
	if g == w.seg && off >= w.off && off < w.off+int64(w.n) {
		kept = int(w.off + int64(w.n) - off)
	}
	if old == nil || n > len(old.Bytes()) {
		b, err := w.pool.Get(ctx, int(blockfs.AlignUp(int64(max(n, w.size)))))
		if err != nil {
			return err
		}
		b.Resize(cap(b.Bytes())) // the next group may be a little larger
		w.buf = b
		defer func() {
			if old != nil {
				old.Release()
			}
		}()
	}
	if kept == 0 {
		w.bad = w.bad[:0]
	} else {
		copy(w.buf.Bytes(), old.Bytes()[off-w.off:][:kept])
	}
	want := int(min(int64(len(w.buf.Bytes())), g.file.Size()-off))
	w.seg, w.off, w.n = g, off, want
	return w.read(w.buf.Bytes()[kept:want], off+int64(kept))
}

// read fills p; what cannot be read at once is tried block by block.
func (w *window) read(p []byte, off int64) error {
	_, err := w.seg.file.ReadAt(p, off)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	readable := false
	for at := 0; at < len(p); at += blockfs.BlockSize {
		block := p[at:min(at+blockfs.BlockSize, len(p))]
		if _, err := w.seg.file.ReadAt(block, off+int64(at)); err != nil && !errors.Is(err, io.EOF) {
			clear(block)
			w.bad = append(w.bad, off+int64(at))
			continue
		}
		readable = true
	}
	if !readable && len(p) > blockfs.BlockSize {
		return fmt.Errorf("read %s from %d on: %w", w.seg.name, off, err)
	}
	return nil
}
