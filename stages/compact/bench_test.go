package compact

import (
	"context"
	"fmt"
	"testing"

	"github.com/sluicemq/sluice/internal/record"
)

// BenchmarkClean is one pass over records of 1 KiB in batches of 64, half of them
// superseded. MB/s refers to the objects read; a pass reads the dirty part twice.
func BenchmarkClean(b *testing.B) {
	for _, codec := range []record.Codec{record.None, record.LZ4, record.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			r := newRig(b, DefaultConfig())
			r.topic(1, compacted)
			const n = 32 << 10
			var batches []record.Batch
			for base := int64(0); base < n; base += 64 {
				var records []kv
				for o := base; o < base+64; o++ {
					value := make([]byte, 1000)
					for i := range value {
						value[i] = byte(o*int64(i)>>7) & 0x1f
					}
					records = append(records, kv{fmt.Sprint(o % (n / 2)), string(value)})
				}
				batches = append(batches, batch(b, base, 1, codec, records...))
			}
			r.upload(map[int32][]record.Batch{0: batches})
			m := r.partition(0)
			b.SetBytes(m.Objects[0].Bytes)
			b.ReportAllocs()
			for b.Loop() {
				r.meta.topic.Partitions[0] = m
				c := &Clean{Partition: r.at(0), Epoch: m.Epoch, Objects: m.Objects, Limit: m.TierEnd}
				if err := r.c.clean(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
