package flow_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// framed returns size bytes that start with the header of a batch with the given base and number of offsets.
func framed(base int64, offsets, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(size-12))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(offsets-1))
	return b
}

// A read takes the same from entries as it would from a list of all batches: those from its
// offset to its end, the first whatever its size and the others within its limit.
func TestClipTakesTheRequestedBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tail partition.Tail
		var all [][]byte
		var image []byte
		end, group := int64(10), 0
		for range rapid.IntRange(1, 60).Draw(t, "batches") {
			n := rapid.IntRange(1, 3).Draw(t, "offsets")
			b := framed(end, n, rapid.SampledFrom([]int{61, 100, 5000, partition.RunBytes}).Draw(t, "size"))
			if rapid.IntRange(0, 5).Draw(t, "new group") == 0 {
				image = append(image, make([]byte, 100)...)
				group = len(image)
			}
			tail.Append(partition.Entry{Base: end, Position: partition.Position(len(image)), Group: partition.Position(group),
				Size: int32(len(b)), Count: int32(n)})
			all, image, end = append(all, b), append(image, b...), end+int64(n)
		}
		r := &flow.Read{Offset: rapid.Int64Range(10, end-1).Draw(t, "offset"), Limit: rapid.SampledFrom([]int{0, 1, 61, 161, 10_000, 1 << 20}).Draw(t, "limit")}
		for r.End = end; r.End > r.Offset+1 && rapid.Bool().Draw(t, "an end before"); { // at a batch boundary
			i := slices.IndexFunc(all, func(b []byte) bool { return next(b) == r.End })
			if base := int64(binary.BigEndian.Uint64(all[i])); base > r.Offset {
				r.End = base
			} else {
				break
			}
		}
		limit := r.Limit
		if limit == 0 {
			limit = 1 << 30
		}
		entries, ok := tail.From(nil, r.Offset, r.End, limit)
		if !ok {
			t.Fatal("below the tail")
		}
		for _, e := range entries {
			b, more := r.Clip(e, image[e.Position:int(e.Position)+int(e.Size)])
			if len(b) > 0 {
				r.Add(b, flow.FromWAL, nil)
			}
			if !more {
				break
			}
		}
		want := wanted(all, r.Offset, r.End, limit)
		got := slices.Concat(r.Buffers...)
		// Entries are left out by estimated size, so fewer batches are correct too.
		if !bytes.HasPrefix(want, got) || len(got) == 0 || len(entries) > 0 && entries[len(entries)-1].End() >= r.End && len(got) != len(want) {
			t.Fatalf("read %d bytes of %d from offset %d to %d, limit %d", len(got), len(want), r.Offset, r.End, r.Limit)
		}
		if r.Bytes != len(got) {
			t.Fatalf("%d bytes counted of %d", r.Bytes, len(got))
		}
	})
}

func next(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
}

func wanted(all [][]byte, offset, end int64, limit int) (out []byte) {
	for _, b := range all {
		if next(b) <= offset {
			continue
		}
		if next(b) > end || len(out) > 0 && len(out)+len(b) > limit {
			break
		}
		out = append(out, b...)
	}
	return out
}

// The batches of a partition are adjacent and in sequenced order; appends that write
// nothing are left out.
func TestArrangeKeepsPartitionsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &flow.Group{}
		next := map[int32]int64{}
		var want []string
		for range rapid.IntRange(0, 5).Draw(t, "writes") {
			w := &flow.Write{}
			for range rapid.IntRange(0, 20).Draw(t, "appends") {
				p := rapid.Int32Range(0, 4).Draw(t, "partition")
				a := &flow.Append{Partition: topic.Partition{Index: p}, BaseOffset: next[p], Duplicate: rapid.IntRange(0, 9).Draw(t, "duplicate") == 0}
				if a.Writes() {
					next[p]++
					want = append(want, fmt.Sprint(p, a.BaseOffset))
				}
				w.Appends = append(w.Appends, a)
			}
			g.Writes = append(g.Writes, w)
		}
		g.Arrange()
		var got []string
		seen := map[int32]int64{}
		for i, a := range g.InOrder() {
			p := a.Partition.Index
			if before, again := seen[p]; again && (g.InOrder()[i-1].Partition.Index != p || a.BaseOffset != before+1) {
				t.Fatalf("offset %d of partition %d comes after %d, following partition %d", a.BaseOffset, p, before, g.InOrder()[i-1].Partition.Index)
			}
			seen[p] = a.BaseOffset
			got = append(got, fmt.Sprint(p, a.BaseOffset))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%v\nwant %v", got, want)
		}
	})
}
