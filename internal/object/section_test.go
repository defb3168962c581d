package object

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"testing"

	"github.com/sluicemq/sluice/internal/idempotence"
)

// snapshot returns a snapshot of the given number of producers.
func snapshot(producers int) []byte {
	ps := idempotence.NewTable(1 << 20).Open()
	for id := range int64(producers) {
		ps.Append(idempotence.Batch{ProducerID: id, LastSequence: 4, AppendedMs: 1_700_000_000_000 + id}, id*5)
	}
	return ps.Snapshot()
}

// writeSections returns an object with batches of one partition and sections of two.
func writeSections(t testing.TB) ([]byte, *Footer) {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, testID, 1_700_000_000_123)
	if err := w.Append(partition(1, 7), batch(t, 0, 1, 8)); err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{3, 1} {
		if _, err := w.AppendSection(partition(2, int32(i)), int64(100+i), snapshot(n)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), f
}

func TestSectionsReadBack(t *testing.T) {
	data, written := writeSections(t)
	src := &memory{b: data}
	f, err := ReadFooter(context.Background(), src, src.size())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Sections) != 2 || f.Sections[0] != written.Sections[0] || f.Sections[1] != written.Sections[1] || len(f.Partitions) != 1 {
		t.Fatalf("read %+v, written %+v", f, written)
	}
	for i, n := range []int{3, 1} {
		got, err := ReadSection(context.Background(), src, f.Sections[i])
		if err != nil || !bytes.Equal(got, snapshot(n)) {
			t.Errorf("section %d: %x, %v", i, got, err)
		}
	}
	if err := Verify(context.Background(), src, src.size()); err != nil {
		t.Error(err)
	}
}

// An object with sections alone is valid; one with neither sections nor batches is not.
func TestObjectOfSectionsAlone(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, testID, 0)
	if _, err := w.AppendSection(partition(1, 0), 9, snapshot(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Verify(context.Background(), &memory{b: out.Bytes()}, int64(out.Len())); err != nil {
		t.Error(err)
	}
}

func TestSectionsAreRefused(t *testing.T) {
	w := NewWriter(&bytes.Buffer{}, testID, 0)
	if _, err := w.AppendSection(partition(1, 0), 9, nil); err == nil {
		t.Error("an empty section is accepted")
	}
	w = NewWriter(&bytes.Buffer{}, testID, 0)
	_, _ = w.AppendSection(partition(1, 0), 9, snapshot(1))
	if err := w.Append(partition(1, 0), batch(t, 0, 1, 1)); !errors.Is(err, ErrOrder) {
		t.Errorf("a batch after sections: %v", err)
	}
}

// No flipped bit of an object with sections escapes Verify.
func TestVerifyFindsEveryFlippedBitOfSections(t *testing.T) {
	data, _ := writeSections(t)
	for at := range data {
		data[at] ^= 1 << (at % 8)
		if err := Verify(context.Background(), &memory{b: data}, int64(len(data))); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("byte %d of %d: %v", at, len(data), err)
		}
		data[at] ^= 1 << (at % 8)
	}
}

// Invalid sections are refused even if their checksums are correct.
func TestSectionRules(t *testing.T) {
	be := binary.BigEndian
	for name, spoil := range map[string]func(f []byte){
		"more sections":         func(f []byte) { be.PutUint32(f[28:], 3) },
		"fewer sections":        func(f []byte) { be.PutUint32(f[28:], 1) },
		"no sections":           func(f []byte) { be.PutUint32(f[28:], 0) },
		"four billion sections": func(f []byte) { be.PutUint32(f[28:], 1<<32-1) },
		"a section of no bytes": func(f []byte) { be.PutUint32(f[len(f)-16:], 0) },
		"a section too long":    func(f []byte) { be.PutUint32(f[len(f)-16:], 1<<32-1) },
		"a section too short":   func(f []byte) { be.PutUint32(f[len(f)-16:], 1) },
		"a negative end":        func(f []byte) { be.PutUint64(f[len(f)-8:], 1<<63) },
	} {
		data, _ := writeSections(t)
		length := int(be.Uint32(data[len(data)-trailerSize:]))
		footer := data[len(data)-trailerSize-length:]
		spoil(footer[:length])
		be.PutUint32(footer[length+8:], crc32.Checksum(footer[:length+8], castagnoli))
		if err := Verify(context.Background(), &memory{b: data}, int64(len(data))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A stored object with sections stays readable, and this build writes the same bytes.
func TestGoldenSections(t *testing.T) {
	now, _ := writeSections(t)
	lines, err := describe(now)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		for name, b := range map[string][]byte{"testdata/v2.object": now, "testdata/v2.json": []byte(lines)} {
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored, err := os.ReadFile("testdata/v2.object")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/v2.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := describe(stored); err != nil || got != string(want) {
		t.Errorf("the stored object reads as\n%s\nwant\n%s\n%v", got, want, err)
	}
	if !bytes.Equal(now, stored) {
		t.Errorf("this build writes it differently:\n%s", lines)
	}
}
