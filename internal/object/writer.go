package object

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

var (
	errShort  = errors.New("short read")
	errEmpty  = errors.New("object without batches and sections; append one before Close")
	errClosed = errors.New("object is closed")
)

// Writer streams one object. It keeps the index but no data; small batches cause
// small writes, so w should be buffered. Not safe for concurrent use.
type Writer struct {
	w      io.Writer
	at     int64 // bytes written
	footer Footer
	seen   map[topic.Partition]struct{}
	size   int   // of the encoded footer
	block  Block // open while its Length is not 0
	err    error // latched: after an error the object cannot be finished
}

// NewWriter returns a Writer that writes object id to w.
func NewWriter(w io.Writer, id meta.ObjectID, createdMs int64) *Writer {
	o := &Writer{w: w, footer: Footer{ID: id, CreatedMs: createdMs}, size: footerFixedSize,
		seen: make(map[topic.Partition]struct{})}
	o.write(header{id, createdMs}.appendTo(nil))
	return o
}

// Append adds the next batch of p, or several that go into one block. All batches
// of a partition are appended together, in offset order. Each is verified, so
// that a copy damaged in memory never replaces the one in the write-ahead log.
// After an error the object cannot be finished: every later call returns the same
// error.
func (o *Writer) Append(p topic.Partition, batches []byte) error {
	if o.err == nil {
		o.err = o.append(p, batches)
	}
	return o.err
}

func (o *Writer) append(p topic.Partition, batches []byte) error {
	if len(o.footer.Sections) > 0 {
		return fmt.Errorf("%w: a batch of %s after the sections", ErrOrder, p)
	}
	r, err := inspect(batches)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	if err := o.prepare(p, r); err != nil {
		return err
	}
	if o.block.Length == 0 {
		o.block = Block{Offset: o.at, Base: r.Base, MaxTimestamp: r.MaxTimestamp}
	}
	o.block.End = r.End
	o.block.MaxTimestamp = max(o.block.MaxTimestamp, r.MaxTimestamp)
	o.block.CRC = record.Concatenated(o.block.CRC, r.CRC, len(batches))
	o.block.Length += r.Length
	o.write(batches)
	return o.err
}

// inspect verifies whole batches and returns the block that they would form by
// themselves.
func inspect(batches []byte) (r Block, err error) {
	r = Block{Length: int64(len(batches)), MaxTimestamp: math.MinInt64}
	for rest := batches; ; {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			return r, err
		}
		if err := b.Verify(); err != nil {
			return r, err
		}
		r.CRC = b.Extend(r.CRC) // of what was verified; the bytes are not hashed again
		if r.MaxTimestamp == math.MinInt64 {
			r.Base, r.End = b.BaseOffset(), b.BaseOffset()
		}
		if b.BaseOffset() < r.End {
			return r, fmt.Errorf("%w: offset %d after %d", ErrOrder, b.BaseOffset(), r.End)
		}
		r.End, r.MaxTimestamp = b.NextOffset(), max(r.MaxTimestamp, b.MaxTimestamp())
		if len(rest) == 0 {
			return r, nil
		}
	}
}

// prepare checks that b may follow, and ends the open block if b does not fit.
func (o *Writer) prepare(p topic.Partition, b Block) error {
	if r := o.last(); r == nil || r.Partition != p {
		o.endBlock()
		if _, again := o.seen[p]; again {
			return fmt.Errorf("%w: %s came before; append its batches together", ErrOrder, p)
		}
		o.seen[p] = struct{}{}
		o.footer.Partitions = append(o.footer.Partitions, Range{Partition: p, End: b.Base})
		o.size += rangeSize
	}
	r := o.last()
	end := r.End
	if o.block.Length > 0 {
		end = o.block.End
	}
	if b.Base < end {
		return fmt.Errorf("%w: %s offset %d after %d", ErrOrder, p, b.Base, end)
	}
	if !fits(o.block.Length, b.Length) {
		o.endBlock()
	}
	if o.block.Length == 0 {
		o.size += blockSize
	}
	if o.size > MaxFooterBytes || b.Length > math.MaxUint32 {
		return fmt.Errorf("object %s has an index of %d bytes, %d are allowed; write smaller objects",
			o.footer.ID, o.size, MaxFooterBytes)
	}
	return nil
}

// endBlock ends the open block.
func (o *Writer) endBlock() {
	if o.block.Length > 0 {
		o.last().add(o.block)
		o.block = Block{}
	}
}

func (o *Writer) last() *Range {
	if n := len(o.footer.Partitions); n > 0 {
		return &o.footer.Partitions[n-1]
	}
	return nil
}

// AppendSection adds a snapshot of the producers of p as of offset end. Sections
// come after all batches.
func (o *Writer) AppendSection(p topic.Partition, end int64, snapshot []byte) (Section, error) {
	o.endBlock()
	s := Section{Partition: p, Offset: o.at, Length: int64(len(snapshot)), CRC: crc32.Checksum(snapshot, castagnoli), End: end}
	if o.err == nil && (len(snapshot) == 0 || int64(len(snapshot)) > math.MaxUint32) {
		o.err = fmt.Errorf("a section of %d bytes of %s; it needs at least one and at most %d", len(snapshot), p, math.MaxUint32)
	}
	o.footer.Sections = append(o.footer.Sections, s)
	o.write(snapshot)
	return s, o.err
}

// Close writes the index and returns it. It does not close the io.Writer. An
// object with neither batches nor sections is an error.
func (o *Writer) Close() (*Footer, error) {
	switch {
	case o.err != nil:
		return nil, o.err
	case len(o.footer.Partitions) == 0 && len(o.footer.Sections) == 0:
		o.err = errEmpty
		return nil, o.err
	}
	o.endBlock()
	f := o.footer
	slices.SortFunc(f.Partitions, func(a, b Range) int { return order(a.Partition, b.Partition) })
	o.write(f.appendTo(make([]byte, 0, f.size()+trailerSize)))
	if o.err != nil {
		return nil, o.err
	}
	o.err = errClosed
	return &f, nil
}

func (o *Writer) write(b []byte) {
	if o.err != nil {
		return
	}
	n, err := o.w.Write(b)
	if err != nil {
		o.err = fmt.Errorf("write object %s at %d: %w", o.footer.ID, o.at, err)
	}
	o.at += int64(n)
}
