package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/record"
)

// describe returns the output of Describe, one JSON document per line.
func describe(data []byte) (string, error) {
	var out strings.Builder
	e := json.NewEncoder(&out)
	err := Describe(context.Background(), &memory{b: data}, int64(len(data)), e.Encode)
	return out.String(), err
}

// kinds counts the lines of each kind, and those with an error.
func kinds(t *testing.T, lines string) map[string]int {
	t.Helper()
	n := make(map[string]int)
	for line := range strings.Lines(lines) {
		var v struct{ Kind, Error string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		n[v.Kind]++
		if v.Error != "" {
			n["damaged "+v.Kind]++
		}
	}
	return n
}

func TestDescribeNamesEverything(t *testing.T) {
	data, _ := write(t,
		content{partition(1, 0), []record.Batch{batch(t, 0, 2, 10), batch(t, 2, 1, 200_000), batch(t, 3, 1, 200_000)}},
		content{partition(1, 1), []record.Batch{batch(t, 0, 1, 10)}})
	lines, err := describe(data)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"object": 1, "partition": 2, "block": 3, "batch": 4}
	if got := kinds(t, lines); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v\n%s", got, want, lines)
	}
	if !strings.HasPrefix(lines, `{"kind":"object","id":"`+testID.String()) {
		t.Errorf("the first line is not the object:\n%s", lines)
	}
}

// Every byte of an object is covered: no flipped bit escapes Verify.
func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	data, _ := write(t, content{partition(1, 0), []record.Batch{batch(t, 0, 2, 10)}}, content{partition(1, 1), []record.Batch{batch(t, 0, 1, 10)}})
	for at := range data {
		data[at] ^= 1 << (at % 8)
		if err := Verify(context.Background(), &memory{b: data}, int64(len(data))); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("byte %d of %d: %v", at, len(data), err)
		}
		data[at] ^= 1 << (at % 8)
	}
}

func TestTruncatedObjectIsCorrupt(t *testing.T) {
	data, _ := write(t, content{partition(1, 0), []record.Batch{batch(t, 0, 2, 10)}})
	for n := range data {
		if _, err := ReadFooter(context.Background(), &memory{b: data[:n]}, int64(n)); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

func TestDescribeContinuesAfterDamage(t *testing.T) {
	data, f := write(t,
		content{partition(1, 0), []record.Batch{batch(t, 0, 1, 200_000), batch(t, 1, 1, 200_000), batch(t, 2, 1, 200_000)}},
		content{partition(1, 1), []record.Batch{batch(t, 0, 1, 10)}})
	data[9] ^= 0xff // the header's version
	r, _ := f.Range(partition(1, 0))
	data[r.Blocks[1].Offset+1000] ^= 1 // in a value
	lines, err := describe(data)
	if !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrUnsupported) || !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("damage is not reported: %v", err)
	}
	want := map[string]int{"object": 1, "partition": 2, "block": 4, "batch": 4,
		"damaged object": 1, "damaged block": 1, "damaged batch": 1}
	if got := kinds(t, lines); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v\n%s", got, want, lines)
	}
}

// An index that does not match the batches is reported even if the footer's CRC is correct.
func TestVerifyComparesIndexAndBatches(t *testing.T) {
	for name, spoil := range map[string]func(b *Block){
		"base":          func(b *Block) { b.Base++ },
		"end":           func(b *Block) { b.End++ },
		"max timestamp": func(b *Block) { b.MaxTimestamp-- },
		"CRC":           func(b *Block) { b.CRC++ },
	} {
		data, f := write(t, content{partition(1, 0), []record.Batch{batch(t, 10, 5, 10)}})
		end := len(data) - f.size() - trailerSize
		spoil(&f.Partitions[0].Blocks[0])
		data = f.appendTo(data[:end])
		if _, err := ReadFooter(context.Background(), &memory{b: data}, int64(len(data))); err != nil {
			t.Fatalf("%s: the footer by itself is sound: %v", name, err)
		}
		if err := Verify(context.Background(), &memory{b: data}, int64(len(data))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Invalid footers are refused even if their CRC is correct.
func TestFooterRules(t *testing.T) {
	two := func() []byte {
		data, _ := write(t, content{partition(1, 0), []record.Batch{batch(t, 10, 5, 10)}}, content{partition(1, 1), []record.Batch{batch(t, 0, 1, 10)}})
		return data
	}
	be := binary.BigEndian
	first, second := footerFixedSize, footerFixedSize+rangeSize+blockSize
	for name, spoil := range map[string]func(f []byte){
		"more partitions":             func(f []byte) { be.PutUint32(f[24:], 3) },
		"fewer partitions":            func(f []byte) { be.PutUint32(f[24:], 1) },
		"no partitions":               func(f []byte) { be.PutUint32(f[24:], 0) },
		"a partition twice":           func(f []byte) { be.PutUint32(f[second+16:], 0) },
		"partitions in disorder":      func(f []byte) { be.PutUint32(f[first+16:], 2) },
		"no blocks":                   func(f []byte) { be.PutUint32(f[first+20:], 0) },
		"four billion blocks":         func(f []byte) { be.PutUint32(f[first+20:], 1<<32-1) },
		"a range in the header":       func(f []byte) { be.PutUint64(f[first+24:], 39) },
		"a range at a negative place": func(f []byte) { be.PutUint64(f[first+24:], 1<<63) },
		"a range behind the blocks":   func(f []byte) { be.PutUint64(f[second+24:], 1<<40) },
		"ranges that overlap":         func(f []byte) { be.PutUint64(f[second+24:], headerSize) },
		"a block of no bytes":         func(f []byte) { be.PutUint32(f[first+rangeSize:], 0) },
		"a block beyond the blocks":   func(f []byte) { be.PutUint32(f[second+rangeSize:], 1<<32-1) },
		"a gap between blocks":        func(f []byte) { be.PutUint32(f[first+rangeSize:], be.Uint32(f[first+rangeSize:])-1) },
		"a negative base":             func(f []byte) { be.PutUint64(f[first+rangeSize+8:], 1<<63) },
		"no offsets":                  func(f []byte) { be.PutUint64(f[first+rangeSize+16:], 10) },
	} {
		data := two()
		length := int(be.Uint32(data[len(data)-trailerSize:]))
		footer := data[len(data)-trailerSize-length:]
		spoil(footer)
		be.PutUint32(footer[length+8:], crc32.Checksum(footer[:length+8], castagnoli))
		if _, err := ReadFooter(context.Background(), &memory{b: data}, int64(len(data))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLaterVersionIsUnsupported(t *testing.T) {
	data, _ := write(t, content{partition(1, 0), []record.Batch{batch(t, 10, 5, 10)}})
	data[len(data)-trailerSize+5] = 3
	if _, err := ReadFooter(context.Background(), &memory{b: data}, int64(len(data))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func TestErrorOfTheReaderIsPassedOn(t *testing.T) {
	data, _ := write(t, content{partition(1, 0), []record.Batch{batch(t, 10, 5, 10)}})
	if _, err := ReadFooter(context.Background(), broken{}, int64(len(data))); !errors.Is(err, errDisk) {
		t.Errorf("%v", err)
	}
	stop := errors.New("enough")
	if err := Describe(context.Background(), &memory{b: data}, int64(len(data)), func(any) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
	if _, err := ReadFooter(context.Background(), short{}, int64(len(data))); !errors.Is(err, errShort) {
		t.Errorf("a short read: %v", err)
	}
}

// broken fails every read; short returns fewer bytes than requested.
type (
	broken struct{}
	short  struct{}
)

func (broken) ReadRange(context.Context, int64, int64) ([]byte, error) { return nil, errDisk }

func (short) ReadRange(_ context.Context, _, n int64) ([]byte, error) {
	return bytes.Repeat([]byte{1}, int(n-1)), nil
}
