package pipeline

import (
	"context"
	"fmt"
	"testing"
	"time"
)

const benchHops = 5 // source to sink, four stages between

// benchGraph sends b.N records in parcels of per records through benchHops edges.
func benchGraph(b *testing.B, per, depth int, stage Stage[[]int, []int]) {
	g := New("bench")
	left := b.N
	body := make([]int, per)
	p := From(g, "src", SourceFunc[[]int](func(ctx context.Context, out Emit[[]int]) error {
		for left > 0 {
			n := min(per, left)
			left -= n
			if err := out(ctx, Parcel[[]int]{body[:n], int64(n), NewReceipt(nil)}); err != nil {
				return err
			}
		}
		return nil
	}))
	for i := range benchHops - 1 {
		p = Via(p, fmt.Sprint("stage", i), stage, Depth(depth))
	}
	Into(p, "sink", SinkFunc[[]int](func(ctx context.Context, in *In[[]int]) error {
		var buf [64]Parcel[[]int]
		for {
			n, err := in.RecvBatch(ctx, buf[:])
			if err != nil {
				return ended(err)
			}
			for _, p := range buf[:n] {
				p.Settle(nil)
			}
		}
	}), Depth(depth))
	b.ReportAllocs()
	b.ResetTimer()
	if err := g.Run(context.Background(), time.Minute); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())*float64(per)/float64(b.N)/benchHops, "ns/hop")
}

// inBatches forwards everything queued at once.
func inBatches() Stage[[]int, []int] {
	return StageFunc[[]int, []int](func(ctx context.Context, in *In[[]int], out Emit[[]int]) error {
		var buf [64]Parcel[[]int]
		for {
			n, err := in.RecvBatch(ctx, buf[:])
			if err != nil {
				return ended(err)
			}
			for _, p := range buf[:n] {
				if err := out(ctx, p); err != nil {
					return err
				}
			}
		}
	})
}

// BenchmarkHops measures the engine: an operation is one record through five
// hops; ns/hop is one parcel over one edge.
func BenchmarkHops(b *testing.B) {
	one := Each(func(_ context.Context, v []int) ([]int, error) { return v, nil })
	for _, per := range []int{1, 256} {
		for _, depth := range []int{16, 256} {
			b.Run(fmt.Sprintf("records=%d/depth=%d/recv", per, depth), func(b *testing.B) { benchGraph(b, per, depth, one) })
			b.Run(fmt.Sprintf("records=%d/depth=%d/batch", per, depth), func(b *testing.B) { benchGraph(b, per, depth, inBatches()) })
		}
	}
}
