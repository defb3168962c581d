package wal

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/sluicemq/sluice/internal/record"
)

// TestAddBatch compares with the checksum of the bytes.
func TestAddBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var all []byte
	var sum uint32
	for _, size := range []int{0, 1, 100, combineFrom - 100, combineFrom, combineFrom + 1, 1 << 16, 65537, 1<<20 + 17, 12 << 20} {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(r.Uint32())
		}
		b, err := record.NewBuilder().Add(1, nil, value).Build()
		if err != nil {
			t.Fatal(err)
		}
		b.Stamp(int64(size), 7)
		all, sum = append(all, b...), addBatch(sum, b)
		if want := crc32.Checksum(all, castagnoli); sum != want {
			t.Errorf("%08x behind a batch of %d bytes, want %08x", sum, len(b), want)
		}
	}
}

// TestAddBatchIsNotFooled: a batch that does not match its checksum does not get
// a valid sum.
func TestAddBatchIsNotFooled(t *testing.T) {
	b, err := record.NewBuilder().Add(1, nil, make([]byte, 2*combineFrom)).Build()
	if err != nil {
		t.Fatal(err)
	}
	b[combineFrom] ^= 1
	if addBatch(0, b) == crc32.Checksum(b, castagnoli) {
		t.Error("a damaged batch got a valid sum")
	}
}

func BenchmarkAddBatch(b *testing.B) {
	batch, err := record.NewBuilder().Add(1, nil, make([]byte, 64<<10)).Build()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("combined", func(b *testing.B) {
		for b.Loop() {
			addBatch(1, batch)
		}
	})
	b.Run("hashed", func(b *testing.B) {
		for b.Loop() {
			crc32.Update(1, castagnoli, batch)
		}
	})
}
