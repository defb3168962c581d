package wal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
)

// Of many reads in any order, over several segments and with gaps, each gets its batches;
// those whose batches are gone do not affect the others.
func TestReadMany(t *testing.T) {
	r := start(opened(t, crashfs.New(4<<20), small()))
	var src source
	var groups []*flow.Group
	for i := range 30 {
		groups = append(groups, src.group(100, 3000+i, 1, 200))
	}
	r.write(t, groups...)
	defer r.close(t)
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var reads []*partition.Read
		want := map[*partition.Read][]byte{}
		for _, g := range groups {
			for _, a := range appends(g) {
				if random.IntN(3) > 0 {
					continue
				}
				read := &partition.Read{Entry: entryOf(g, a), Into: make([]byte, len(a.Batch))}
				want[read] = a.Batch
				if random.IntN(10) == 0 {
					read.Entry.Position += 1 << 40 // in no segment
					want[read] = nil
				}
				reads = append(reads, read)
			}
		}
		random.Shuffle(len(reads), func(i, j int) { reads[i], reads[j] = reads[j], reads[i] })
		r.log.ReadMany(t.Context(), reads)
		for read, batch := range want {
			switch {
			case batch == nil && !errors.Is(read.Err, ErrReclaimed):
				t.Fatalf("seed %d: a position beyond the log: %v", seed, read.Err)
			case batch != nil && (read.Err != nil || !bytes.Equal(read.Into, batch)):
				t.Fatalf("seed %d: offset %d: %v", seed, read.Entry.Base, read.Err)
			}
		}
	}
}
