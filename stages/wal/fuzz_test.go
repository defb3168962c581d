package wal

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

// seedSegment returns a segment with batches, a truncation and a seal.
func seedSegment(f *testing.F) []byte {
	fs, src := crashfs.New(1<<20), &source{}
	r := start(opened(f, fs, small()))
	r.write(f, src.group(10, 5000, 0))
	if err := r.log.Truncate(f.Context(), partitionOf(1), 1); err != nil {
		f.Fatal(err)
	}
	r.close(f)
	file, err := fs.Open(segmentName(0))
	if err != nil {
		f.Fatal(err)
	}
	used := make([]byte, r.log.End())
	if _, err := file.ReadAt(used, 0); err != nil {
		f.Fatal(err)
	}
	return used
}

// FuzzGroup decodes a group at the start of its segment. A group that passes
// verification can be iterated, and encodes to the same bytes.
func FuzzGroup(f *testing.F) {
	used := seedSegment(f)
	s, err := decodeSegment(used)
	if err != nil {
		f.Fatal(err)
	}
	for at := blockfs.BlockSize; at < len(used); at += blockfs.BlockSize {
		f.Add(used[at:])
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		id := identity{s.wal, s.position}
		id.position += blockfs.BlockSize
		if len(b) >= headSize { // the fuzzer cannot guess positions and checksums
			b = bytes.Clone(b)
			copy(b[16:], id.wal[:])
			le.PutUint64(b[40:], uint64(id.position))
		}
		h, err := decodeFixed(b, id, int64(len(b)))
		if err != nil {
			return
		}
		h.sum = headChecksum(b[:h.end()])
		le.PutUint32(b[offChecksum:], h.sum)
		if h.verifyTable(b) != nil {
			return
		}
		_ = h.verifyBody(b)
		end := h.end()
		_ = h.rows(b, func(e tableRow) error {
			if e.at != end || e.size < 0 || e.at+e.size > len(b) {
				t.Fatalf("a batch of %d bytes at %d of %d", e.size, e.at, len(b))
			}
			end += e.size
			return nil
		})
		if end != h.length {
			t.Fatalf("batches end at %d, the group at %d", end, h.length)
		}
	})
}

// FuzzSegmentHeader decodes block 0.
func FuzzSegmentHeader(f *testing.F) {
	f.Add(seedSegment(f)[:blockfs.BlockSize])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= blockfs.BlockSize {
			b = bytes.Clone(b[:blockfs.BlockSize])
			le.PutUint32(b[offChecksum:], headChecksum(b))
		}
		h, err := decodeSegment(b)
		if err != nil {
			return
		}
		again := make([]byte, blockfs.BlockSize)
		h.encode(again)
		if second, err := decodeSegment(again); err != nil || second != h {
			t.Fatalf("%+v, again %+v, %v", h, second, err)
		}
	})
}

// FuzzRecover recovers a segment of arbitrary bytes: it returns, with or without
// an error, and a second run finds the same.
func FuzzRecover(f *testing.F) {
	used := seedSegment(f)
	f.Add(used)
	f.Add(used[:2*blockfs.BlockSize])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := crashfs.New(1 << 20)
		file, err := fs.Create(segmentName(0), 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		blocks := blockfs.Aligned(64 << 10)
		copy(blocks, b)
		if err := file.WriteAt(blocks, 0, blockfs.Durable); err != nil {
			t.Fatal(err)
		}
		var found [2]int
		for i := range found {
			d := deps(fs, nothing)
			d.Guard = nil // it would not match the generated segment
			l, err := Open(fs, small(), d)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Recover(context.Background(), func(Recovered) error { found[i]++; return nil })
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrLost) && !errors.Is(err, errVersion) {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if found[0] != found[1] {
			t.Fatalf("%d batches, the second time %d", found[0], found[1])
		}
	})
}
