package record

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// TestExtend compares combined checksums with those of the bytes themselves.
func TestExtend(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var all []byte
	var sum uint32
	for _, size := range []int{0, 1, 100, combineFrom - 100, combineFrom, combineFrom + 1, 1 << 16, 65537, 1<<20 + 17, 12 << 20} {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(r.Uint32())
		}
		b, err := NewBuilder().Add(1, nil, value).Build()
		if err != nil {
			t.Fatal(err)
		}
		b.Stamp(int64(size), 7)
		before, alone := sum, crc32.Checksum(b, castagnoli)
		all, sum = append(all, b...), b.Extend(sum)
		if got := Concatenated(before, alone, len(b)); got != sum {
			t.Errorf("combined to %08x, want %08x", got, sum)
		}
		if want := crc32.Checksum(all, castagnoli); sum != want {
			t.Errorf("%08x after a batch of %d bytes, want %08x", sum, len(b), want)
		}
	}
}

// TestExtendIsNotFooled: extending a checksum by a batch with a wrong CRC does not yield the
// checksum of the batch's bytes, so the damage stays detectable.
func TestExtendIsNotFooled(t *testing.T) {
	b, err := NewBuilder().Add(1, nil, make([]byte, 2*combineFrom)).Build()
	if err != nil {
		t.Fatal(err)
	}
	b[combineFrom] ^= 1
	if b.Extend(0) == crc32.Checksum(b, castagnoli) {
		t.Error("the checksum of a damaged batch is correct")
	}
}

func BenchmarkExtend(b *testing.B) {
	batch, err := NewBuilder().Add(1, nil, make([]byte, 64<<10)).Build()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("combined", func(b *testing.B) {
		for b.Loop() {
			batch.Extend(1)
		}
	})
	b.Run("hashed", func(b *testing.B) {
		for b.Loop() {
			crc32.Update(1, castagnoli, batch)
		}
	})
}
