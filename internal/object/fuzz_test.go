package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/sluicemq/sluice/internal/record"
)

// FuzzFooter reads a footer with a correct CRC after the given number of block bytes.
func FuzzFooter(f *testing.F) {
	for _, contents := range [][]content{
		{{partition(1, 0), []record.Batch{batch(f, 10, 5, 10)}}},
		{{partition(1, 1), []record.Batch{batch(f, 0, 1, 10), batch(f, 9, 1, 300_000)}}, {partition(1, 0), []record.Batch{batch(f, 0, 1, 1)}}},
	} {
		data, footer := write(f, contents...)
		end := len(data) - footer.size() - trailerSize
		f.Add(data[end:len(data)-trailerSize], uint32(end), false)
	}
	sections, footer := writeSections(f)
	end := len(sections) - footer.size() - trailerSize
	f.Add(sections[end:len(sections)-trailerSize], uint32(end), true)
	f.Add([]byte{}, uint32(0), false)
	f.Fuzz(func(t *testing.T, footer []byte, end uint32, sections bool) {
		v := uint16(version)
		if sections {
			v = withSections
		}
		got, err := decodeFooter(footer, v, int64(end))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if again := got.appendTo(nil); !bytes.Equal(again[:len(again)-trailerSize], footer) {
			t.Fatalf("%x encodes as %x", footer, again)
		}
		for i := range got.Partitions {
			r := &got.Partitions[i]
			if found, ok := got.Range(r.Partition); !ok || found != r {
				t.Fatalf("%s is not found", r.Partition)
			}
			for k, b := range r.Blocks {
				if at, ok := r.Find(b.Base); !ok || at != k {
					t.Fatalf("%s offset %d is found in block %d, not %d", r.Partition, b.Base, at, k)
				}
			}
		}
	})
}

// FuzzObject reads whole objects, as generated and with the footer's CRC corrected.
func FuzzObject(f *testing.F) {
	data, _ := write(f, content{partition(1, 0), []record.Batch{batch(f, 10, 5, 10), batch(f, 15, 1, 10)}})
	f.Add(data)
	f.Add(data[:50])
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		verify(t, data)
		if n := len(data); n >= trailerSize {
			t := data[n-trailerSize:]
			length := int(binary.BigEndian.Uint32(t))
			if length <= n-trailerSize {
				binary.BigEndian.PutUint32(t[8:], crc32.Checksum(data[n-trailerSize-length:n-12], castagnoli))
			}
		}
		verify(t, data)
	})
}

func verify(t *testing.T, data []byte) {
	err := Verify(context.Background(), &memory{b: data}, int64(len(data)))
	for _, known := range []error{nil, ErrCorrupt, ErrUnsupported, record.ErrCorrupt, record.ErrUnsupported} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("an error of no kind: %v", err)
}
