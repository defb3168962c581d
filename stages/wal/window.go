package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// errUnreadable: the disk does not return the bytes.
var errUnreadable = fmt.Errorf("%w: the disk cannot read it", ErrCorrupt)

const (
	// windowSize is how much of a segment is read at once, in windowReads parts.
	windowSize  = 4 << 20
	windowReads = 4
	// jumpSize is read where it is not clear that what follows is wanted too.
	jumpSize = 64 << 10
)

// window reads segments in large chunks and hands out small ones. While one chunk
// is processed the next is read. Blocks that the disk cannot read are zeroed and
// remembered.
//
// It has two halves. A chunk is read into the back of one; what is still wanted
// of the previous chunk is copied in front of it. Only what is larger than a
// half, a very large group, gets its own memory, from the pool.
type window struct {
	pool *blockfs.Pool
	size int

	seg  *segment
	off  int64  // of the first byte of view, block-aligned
	view []byte // in a half or in big
	bad  []int64

	halves [2][]byte // created when first used; size bytes for what is kept, size for a chunk
	half   int       // the half that view is not in
	big    *blockfs.Buffer
	ahead  *chunk // being read into half; nil: none
}

// chunk is a chunk of a segment that is being read, or was.
type chunk struct {
	seg  *segment
	off  int64
	data []byte
	bad  []int64
	err  error
	done chan struct{}
}

func (w *window) close() {
	w.drop()
	w.release()
	w.seg, w.view, w.halves = nil, nil, [2][]byte{}
}

func (w *window) release() {
	if w.big != nil {
		w.big.Release()
		w.big = nil
	}
}

// drop waits for the read-ahead chunk, which nobody wants.
func (w *window) drop() {
	if w.ahead != nil {
		<-w.ahead.done
		w.ahead = nil
	}
}

// bytes returns n bytes of g at off, block-aligned, valid until the next call.
// err is errUnreadable if some of them cannot be trusted, io.ErrUnexpectedEOF if
// the file ends earlier, and anything else if the disk does not answer at all.
func (w *window) bytes(ctx context.Context, g *segment, off int64, n int) ([]byte, error) {
	if off+int64(n) > g.file.Size() {
		return nil, io.ErrUnexpectedEOF
	}
	if g != w.seg || off < w.off || off+int64(n) > w.off+int64(len(w.view)) {
		if err := w.load(ctx, g, off, n); err != nil {
			return nil, err
		}
	}
	b := w.view[off-w.off:][:n]
	for _, bad := range w.bad {
		if bad < off+int64(n) && bad+blockfs.BlockSize > off {
			return b, errUnreadable
		}
	}
	return b, nil
}

// load reads at least n bytes from off on, keeping those it has.
func (w *window) load(ctx context.Context, g *segment, off int64, n int) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var kept []byte
	onward := g == w.seg && off >= w.off && off <= w.off+int64(len(w.view))
	if onward {
		kept = w.view[off-w.off:]
	} else {
		w.bad = w.bad[:0]
	}
	if len(kept) > w.size || n-len(kept) > w.size {
		return w.loadBig(ctx, g, off, n, kept)
	}
	from := off + int64(len(kept))
	p, err := w.next(g, from, n-len(kept), onward)
	if err != nil {
		return err
	}
	half := w.halves[w.half]
	copy(half[w.size-len(kept):], kept)
	w.seg, w.off, w.view = g, off, half[w.size-len(kept):w.size+len(p.data)]
	w.bad = append(w.bad, p.bad...)
	w.half = 1 - w.half
	w.release()
	if end := from + int64(len(p.data)); onward && end < g.file.Size() {
		w.ahead = w.begin(g, end, w.size)
	}
	return nil
}

// next returns the chunk that begins at from, of at least n bytes, in the free
// half: the read-ahead one if it matches, otherwise it is read now.
func (w *window) next(g *segment, from int64, n int, onward bool) (*chunk, error) {
	if p := w.ahead; p != nil {
		<-p.done
		w.ahead = nil
		if p.seg == g && p.off == from && len(p.data) >= n {
			return p, p.err
		}
	}
	if !onward && n <= jumpSize && jumpSize < w.size {
		p := w.begin(g, from, jumpSize)
		<-p.done
		if p.err == nil && len(p.bad) == 0 {
			return p, nil
		}
	}
	p := w.begin(g, from, w.size)
	<-p.done
	return p, p.err
}

// begin starts reading up to n bytes of g from off on into the free half.
func (w *window) begin(g *segment, off int64, n int) *chunk {
	if w.halves[w.half] == nil {
		w.halves[w.half] = blockfs.Aligned(2 * w.size)
	}
	n = int(min(int64(n), g.file.Size()-off))
	p := &chunk{seg: g, off: off, data: w.halves[w.half][w.size:][:n], done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.read()
	}()
	return p
}

// loadBig is load with memory for exactly n bytes.
func (w *window) loadBig(ctx context.Context, g *segment, off int64, n int, kept []byte) error {
	w.drop()
	b, err := w.pool.Get(ctx, int(blockfs.AlignUp(int64(n))))
	if err != nil {
		return err
	}
	view := b.Bytes()[:min(int64(len(b.Bytes())), g.file.Size()-off)]
	p := &chunk{seg: g, off: off + int64(len(kept)), data: view[copy(view, kept):]}
	if p.read(); p.err != nil {
		b.Release()
		return p.err
	}
	w.release()
	w.seg, w.off, w.view, w.big = g, off, view, b
	w.bad = append(w.bad, p.bad...)
	return nil
}

// read reads the chunk, in concurrent parts.
func (p *chunk) read() {
	var (
		parts    sync.WaitGroup
		mu       sync.Mutex
		readable bool
		failed   error
	)
	step := int(blockfs.AlignUp(int64((len(p.data) + windowReads - 1) / windowReads)))
	for at := 0; at < len(p.data); at += step {
		parts.Go(func() {
			bad, some, err := readPart(p.seg, p.data[at:min(at+step, len(p.data))], p.off+int64(at))
			mu.Lock()
			defer mu.Unlock()
			p.bad, readable, failed = append(p.bad, bad...), readable || some, errors.Join(failed, err)
		})
	}
	parts.Wait()
	if failed != nil && !readable && len(p.data) > blockfs.BlockSize {
		p.err = fmt.Errorf("read %s at %d: %w", p.seg.name, p.off, failed)
	}
}

// readPart fills b; what cannot be read at once is retried block by block. It
// returns the unreadable blocks, whether some were readable, and the first error.
func readPart(g *segment, b []byte, off int64) (bad []int64, readable bool, err error) {
	_, err = g.file.ReadAt(b, off)
	if err == nil || errors.Is(err, io.EOF) {
		return nil, true, nil
	}
	for at := 0; at < len(b); at += blockfs.BlockSize {
		block := b[at:min(at+blockfs.BlockSize, len(b))]
		if _, err := g.file.ReadAt(block, off+int64(at)); err != nil && !errors.Is(err, io.EOF) {
			clear(block)
			bad = append(bad, off+int64(at))
			continue
		}
		readable = true
	}
	return bad, readable, err
}
