package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// memory is an object in memory; it counts the requests.
type memory struct {
	b     []byte
	reads int
}

func (m *memory) ReadRange(_ context.Context, off, n int64) ([]byte, error) {
	m.reads++
	if off < 0 || n < 0 || off+n > int64(len(m.b)) {
		return nil, fmt.Errorf("range [%d, +%d) of %d bytes", off, n, len(m.b))
	}
	return bytes.Clone(m.b[off : off+n]), nil
}

func (m *memory) size() int64 { return int64(len(m.b)) }

func partition(t byte, index int32) topic.Partition {
	return topic.Partition{Topic: topic.ID{0: t, 15: 0xff}, Index: index}
}

// batch returns a batch of n records from offset base, each with a value of the given size.
func batch(t testing.TB, base int64, n, value int) record.Batch {
	t.Helper()
	b := record.NewBuilder()
	b.BaseOffset, b.Epoch = base, 5
	for i := range n {
		b.Add(1_700_000_000_000+base+int64(i), fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte{byte('a' + i%26)}, value))
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var testID = meta.ObjectID{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x47, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01}

// content is the part of a test object that belongs to one partition.
type content struct {
	partition topic.Partition
	batches   []record.Batch
}

func write(t testing.TB, contents ...content) ([]byte, *Footer) {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, testID, 1_700_000_000_123)
	var sizer Sizer
	for _, r := range contents {
		for _, b := range r.batches {
			sizer.Append(r.partition, int64(len(b)))
			if err := w.Append(r.partition, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if n := sizer.Size(); n != int64(out.Len()) {
		t.Errorf("an object of %d bytes was announced with %d", out.Len(), n)
	}
	return out.Bytes(), f
}

// The size of an object is known before it is written, whatever its contents: uploads
// declare it.
func TestSizeIsKnownBefore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var contents []content
		for p := range rapid.IntRange(1, 5).Draw(rt, "partitions") {
			r := content{partition: partition(byte(p), 0)}
			for i := range rapid.IntRange(1, 12).Draw(rt, "batches") {
				value := rapid.SampledFrom([]int{0, 1, 1000, BlockBytes / 3, BlockBytes / 2, BlockBytes - 100, BlockBytes, BlockBytes + 1}).Draw(rt, "bytes")
				r.batches = append(r.batches, batch(t, int64(i), 1, value))
			}
			contents = append(contents, r)
		}
		write(t, contents...) // compares the sizes
	})
}

func TestWrittenObjectReadsBack(t *testing.T) {
	var large []record.Batch
	for i := range int64(20) {
		large = append(large, batch(t, 1000+i*100, 100, 500)) // 50 kB each: five per block
	}
	huge := batch(t, 7, 3, BlockBytes)
	contents := []content{{partition(2, 1), large}, {partition(1, 9), []record.Batch{huge, batch(t, 10, 1, 1)}},
		{partition(2, 0), []record.Batch{batch(t, 0, 1, 0)}}} // not in the footer's order
	data, written := write(t, contents...)
	src := &memory{b: data}
	f, err := ReadFooter(context.Background(), src, src.size())
	if err != nil {
		t.Fatal(err)
	}
	if src.reads != 1 {
		t.Errorf("%d requests for a small footer", src.reads)
	}
	if fmt.Sprint(*f) != fmt.Sprint(*written) {
		t.Fatalf("read\n%v\nwritten\n%v", *f, *written)
	}
	for _, r := range contents {
		checkContent(t, f, src, r)
	}
	if err := Verify(context.Background(), src, src.size()); err != nil {
		t.Fatal(err)
	}
	if rng, _ := f.Range(partition(1, 9)); len(rng.Blocks) != 2 {
		t.Errorf("a batch above the block size shares its block: %d blocks", len(rng.Blocks))
	}
}

// checkContent finds each batch of r through the footer.
func checkContent(t *testing.T, f *Footer, src *memory, r content) {
	t.Helper()
	rng, ok := f.Range(r.partition)
	if !ok {
		t.Fatalf("%s is not in the footer", r.partition)
	}
	last := r.batches[len(r.batches)-1]
	if rng.Base != r.batches[0].BaseOffset() || rng.End != last.NextOffset() || rng.MaxTimestamp != last.MaxTimestamp() {
		t.Fatalf("%s: %+v", r.partition, rng)
	}
	for _, want := range r.batches {
		i, ok := rng.Find(want.LastOffset())
		if !ok {
			t.Fatalf("%s: no block for offset %d", r.partition, want.LastOffset())
		}
		block := rng.Blocks[i]
		data, err := src.ReadRange(context.Background(), block.Offset, block.Length)
		if err != nil {
			t.Fatal(err)
		}
		if err := block.Verify(data); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, want) || block.Base > want.BaseOffset() || block.End < want.NextOffset() {
			t.Fatalf("%s: block %+v lacks offset %d", r.partition, block, want.BaseOffset())
		}
	}
	if _, ok := rng.Find(rng.End); ok {
		t.Errorf("%s: a block for offset %d, the end", r.partition, rng.End)
	}
}

func TestLargeFooterTakesTwoRequests(t *testing.T) {
	var contents []content
	for i := range int32(2000) {
		contents = append(contents, content{partition(3, i), []record.Batch{batch(t, int64(i), 1, 1)}})
	}
	data, _ := write(t, contents...)
	src := &memory{b: data}
	f, err := ReadFooter(context.Background(), src, src.size())
	if err != nil {
		t.Fatal(err)
	}
	if src.reads != 2 {
		t.Errorf("%d requests", src.reads)
	}
	if r, ok := f.Range(partition(3, 1234)); !ok || r.Base != 1234 {
		t.Errorf("partition 1234: %v %+v", ok, r)
	}
	if _, ok := f.Range(partition(3, 2000)); ok {
		t.Error("a partition that was not written is found")
	}
}

func TestCompactedGapsAreFound(t *testing.T) {
	data, f := write(t, content{partition(1, 0), []record.Batch{batch(t, 10, 5, 200_000/5), batch(t, 40, 5, 200_000/5)}})
	if err := Verify(context.Background(), &memory{b: data}, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	r, _ := f.Range(partition(1, 0))
	for offset, want := range map[int64]int{0: 0, 9: 0, 10: 0, 14: 0, 15: 1, 39: 1, 40: 1, 44: 1} {
		if i, ok := r.Find(offset); !ok || i != want {
			t.Errorf("offset %d: block %d, %v; want %d", offset, i, ok, want)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	p, q := partition(1, 0), partition(1, 1)
	damaged := batch(t, 0, 1, 10)
	damaged[len(damaged)-1] ^= 1
	for name, c := range map[string]struct {
		do   func(w *Writer) error
		want error
	}{
		"partition that came before": {func(w *Writer) error {
			return errors.Join(w.Append(p, batch(t, 0, 1, 1)), w.Append(q, batch(t, 0, 1, 1)), w.Append(p, batch(t, 1, 1, 1)))
		}, ErrOrder},
		"offset that came before": {func(w *Writer) error {
			return errors.Join(w.Append(p, batch(t, 5, 2, 1)), w.Append(p, batch(t, 6, 1, 1)))
		}, ErrOrder},
		"damaged batch": {func(w *Writer) error { return w.Append(p, damaged) }, record.ErrCorrupt},
		"no batch":      {func(*Writer) error { return nil }, errEmpty},
	} {
		w := NewWriter(&bytes.Buffer{}, testID, 0)
		err := c.do(w)
		if err == nil {
			_, err = w.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Close(); err == nil {
			t.Errorf("%s: Close after a failure", name)
		}
	}
}

// failing fails after left bytes.
type failing struct{ left int }

var errDisk = errors.New("disk on fire")

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

func TestFailedWriteIsNotForgotten(t *testing.T) {
	for _, left := range []int{0, 39, 40, 100, 200} {
		w := NewWriter(&failing{left}, testID, 0)
		_ = w.Append(partition(1, 0), batch(t, 0, 1, 50))
		if _, err := w.Close(); !errors.Is(err, errDisk) {
			t.Errorf("failure after %d bytes: Close says %v", left, err)
		}
	}
}

func TestKeyIsStable(t *testing.T) {
	if got, want := Key(testID), "e2/11223344-5566-4788-99aa-bbccddeeff01"; got != want {
		t.Errorf("key %s, want %s: objects already stored would be lost", got, want)
	}
}
