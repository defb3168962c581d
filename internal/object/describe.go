package object

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/record"
)

// Info is the first value that Describe emits.
type Info struct {
	Kind       string `json:"kind"` // "object"
	ID         string `json:"id"`
	Key        string `json:"key"`
	CreatedMs  int64  `json:"created_ms"`
	Bytes      int64  `json:"bytes"`
	Footer     int    `json:"footer_bytes"`
	Partitions int    `json:"partitions"`
	Blocks     int    `json:"blocks"`
	Sections   int    `json:"sections,omitempty"`
	Error      string `json:"error,omitempty"` // of the header
}

// SectionInfo describes one snapshot of a partition's idempotent producers.
type SectionInfo struct {
	Kind      string `json:"kind"` // "producers"
	Topic     string `json:"topic_id"`
	Partition int32  `json:"partition"`
	End       int64  `json:"end_offset"` // the snapshot covers the log up to this offset
	At        int64  `json:"at"`         // bytes from the start of the object
	Bytes     int64  `json:"bytes"`
	CRC       string `json:"crc32c"`
	Producers int    `json:"producers"`
	NewestMs  int64  `json:"newest_ms"` // when the most recent batch was appended
	Error     string `json:"error,omitempty"`
}

// RangeInfo describes one partition; its blocks follow.
type RangeInfo struct {
	Kind         string `json:"kind"` // "partition"
	Topic        string `json:"topic_id"`
	Partition    int32  `json:"partition"`
	Base         int64  `json:"base_offset"`
	End          int64  `json:"end_offset"`
	MaxTimestamp int64  `json:"max_timestamp_ms"`
	Bytes        int64  `json:"bytes"`
	Blocks       int    `json:"blocks"`
}

// BlockInfo describes one block; its readable batches follow.
type BlockInfo struct {
	Kind         string `json:"kind"` // "block"
	At           int64  `json:"at"`   // bytes from the start of the object
	Bytes        int64  `json:"bytes"`
	CRC          string `json:"crc32c"`
	Base         int64  `json:"base_offset"`
	End          int64  `json:"end_offset"`
	MaxTimestamp int64  `json:"max_timestamp_ms"`
	Error        string `json:"error,omitempty"`
}

// BatchInfo describes one batch of a block.
type BatchInfo struct {
	Kind string `json:"kind"` // "batch"
	At   int64  `json:"at"`   // bytes from the start of the object
	record.Info
	Error string `json:"error,omitempty"`
}

// Describe reads an object of size bytes from start to end. It emits an Info,
// then for each partition a RangeInfo, for each of its blocks a BlockInfo, and
// for each batch a BatchInfo, and finally a SectionInfo for each section. About 4
// MiB, or one section, are in memory at a time. It continues after damage, which
// is reported in the Error fields and, joined, in the returned error. It stops at
// an error of emit or src, and when the footer is unreadable.
func Describe(ctx context.Context, src RangeReader, size int64, emit func(any) error) error {
	f, err := ReadFooter(ctx, src, size)
	if err != nil {
		return err
	}
	d := describer{ctx: ctx, src: src, emit: emit}
	if err := d.object(f, size); err != nil {
		return err
	}
	for i := range f.Partitions {
		if err := d.partition(&f.Partitions[i]); err != nil {
			return err
		}
	}
	for _, s := range f.Sections {
		if err := d.section(s); err != nil {
			return err
		}
	}
	return d.damage()
}

// Verify reads an object from start to end and returns what is wrong with it.
func Verify(ctx context.Context, src RangeReader, size int64) error {
	return Describe(ctx, src, size, func(any) error { return nil })
}

// describer walks one object. Its methods return only errors that stop the walk.
type describer struct {
	ctx  context.Context
	src  RangeReader
	emit func(any) error

	found []error // damage, the first maxFound of it
	more  int     // number of further damages
}

const (
	maxFound = 16
	runBytes = 4 << 20 // bytes read in one request, unless one block is larger
)

// note records damage and returns its text.
func (d *describer) note(err error) string {
	if err == nil {
		return ""
	}
	if len(d.found) < maxFound {
		d.found = append(d.found, err)
	} else {
		d.more++
	}
	return err.Error()
}

func (d *describer) damage() error {
	if d.more > 0 {
		d.found = append(d.found, corrupt("and damage in %d more places", d.more))
	}
	return errors.Join(d.found...)
}

func (d *describer) object(f *Footer, size int64) error {
	b, err := read(d.ctx, d.src, 0, headerSize)
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	h, err := decodeHeader(b)
	if err == nil && h != (header{f.ID, f.CreatedMs}) {
		err = corrupt("the header says object %s, the footer %s", h.id, f.ID)
	}
	blocks := 0
	for i := range f.Partitions {
		blocks += len(f.Partitions[i].Blocks)
	}
	return d.emit(Info{Kind: "object", ID: f.ID.String(), Key: Key(f.ID), CreatedMs: f.CreatedMs, Bytes: size,
		Footer: f.size(), Partitions: len(f.Partitions), Blocks: blocks, Sections: len(f.Sections), Error: d.note(err)})
}

func (d *describer) section(s Section) error {
	data, err := read(d.ctx, d.src, s.Offset, s.Length)
	if err != nil {
		return fmt.Errorf("read section: %w", err)
	}
	info := SectionInfo{Kind: "producers", Topic: s.Partition.Topic.String(), Partition: s.Partition.Index, End: s.End,
		At: s.Offset, Bytes: s.Length, CRC: fmt.Sprintf("%08x", s.CRC)}
	damage := s.Verify(data)
	if damage == nil {
		var what idempotence.Summary
		what, err = idempotence.Describe(data)
		info.Producers, info.NewestMs = what.Producers, what.NewestMs
		if err != nil {
			damage = fmt.Errorf("%w: the section at %d: %w", ErrCorrupt, s.Offset, err)
		}
	}
	info.Error = d.note(damage)
	return d.emit(info)
}

func (d *describer) partition(r *Range) error {
	if err := d.emit(RangeInfo{Kind: "partition", Topic: r.Partition.Topic.String(), Partition: r.Partition.Index,
		Base: r.Base, End: r.End, MaxTimestamp: r.MaxTimestamp, Bytes: r.Bytes, Blocks: len(r.Blocks)}); err != nil {
		return err
	}
	for blocks := r.Blocks; len(blocks) > 0; {
		n, bytes := 1, blocks[0].Length
		for n < len(blocks) && bytes+blocks[n].Length <= runBytes {
			bytes += blocks[n].Length
			n++
		}
		if err := d.adjacent(blocks[:n], bytes); err != nil {
			return err
		}
		blocks = blocks[n:]
	}
	return nil
}

// adjacent describes adjacent blocks of n bytes, read in one request.
func (d *describer) adjacent(blocks []Block, n int64) error {
	data, err := read(d.ctx, d.src, blocks[0].Offset, n)
	if err != nil {
		return fmt.Errorf("read blocks: %w", err)
	}
	for _, b := range blocks {
		if err := d.block(b, data[:b.Length]); err != nil {
			return err
		}
		data = data[b.Length:]
	}
	return nil
}

func (d *describer) block(b Block, data []byte) error {
	damage := b.Verify(data)
	if damage == nil {
		damage = b.matches(data)
	}
	if err := d.emit(BlockInfo{Kind: "block", At: b.Offset, Bytes: b.Length, CRC: fmt.Sprintf("%08x", b.CRC),
		Base: b.Base, End: b.End, MaxTimestamp: b.MaxTimestamp, Error: d.note(damage)}); err != nil {
		return err
	}
	return d.batches(b.Offset, data)
}

// matches checks the batches against the index.
func (b Block) matches(data []byte) error {
	got := Block{Offset: b.Offset, Length: b.Length, CRC: b.CRC}
	for len(data) > 0 {
		batch, rest, err := record.Next(data)
		if err != nil {
			return fmt.Errorf("%w: the block at %d: %w", ErrCorrupt, b.Offset, err)
		}
		if len(data) == int(b.Length) {
			got.Base, got.MaxTimestamp = batch.BaseOffset(), batch.MaxTimestamp()
		} else if batch.BaseOffset() < got.End {
			return corrupt("the block at %d: offset %d after %d", b.Offset, batch.BaseOffset(), got.End)
		}
		got.End, got.MaxTimestamp = batch.NextOffset(), max(got.MaxTimestamp, batch.MaxTimestamp())
		data = rest
	}
	if got != b {
		return corrupt("the block at %d holds [%d, %d) up to time %d, the footer says [%d, %d) up to %d",
			b.Offset, got.Base, got.End, got.MaxTimestamp, b.Base, b.End, b.MaxTimestamp)
	}
	return nil
}

func (d *describer) batches(at int64, data []byte) error {
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if err != nil {
			return nil // reported in the block's Error
		}
		info := BatchInfo{Kind: "batch", At: at, Info: b.Info()}
		if err := b.Verify(); err != nil {
			info.Error = d.note(fmt.Errorf("at %d: %w", at, err))
		}
		if err := d.emit(info); err != nil {
			return err
		}
		at += int64(len(b))
		data = rest
	}
	return nil
}
