package idempotence

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/memory"
)

// After any operations of partitions, the table is within its limit, its charge matches its
// contents, and the evicted producers are among those idle the longest.
func TestTableStaysWithinItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := NewTable(40 * producerBytes)
		parts := []*Producers{tb.Open(), tb.Open(), tb.Open()}
		now := int64(0)
		for base := range int64(rapid.IntRange(1, 200).Draw(t, "steps")) {
			base += 1 << 40 // above the restored ones
			now += rapid.SampledFrom([]int64{0, 1, 400, 3000}).Draw(t, "pause")
			p := parts[rapid.IntRange(0, 2).Draw(t, "partition")]
			before, known := tb.Stats(), idle(parts)
			switch rapid.IntRange(0, 20).Draw(t, "op") {
			case 0:
				tb.Expire(now - rapid.Int64Range(0, 9000).Draw(t, "age"))
			case 1:
				p.Close()
			case 2, 3:
				ms := max(0, now-rapid.Int64Range(0, 20_000).Draw(t, "age"))
				other := NewTable(1 << 20).Open()
				other.Append(Batch{rapid.Int64Range(0, 60).Draw(t, "id"), 0, 0, 0, ms}, ms)
				if err := p.Restore(other.Snapshot(), 0); err != nil {
					t.Fatal(err)
				}
			default:
				b := Batch{rapid.Int64Range(0, 60).Draw(t, "id"), 0, int32(base), int32(base), now}
				p.Append(b, base)
				if _, dup, _ := p.Check(b); !dup {
					t.Fatal("the batch just appended is not known")
				}
				if gone := int(tb.Stats().Evicted - before.Evicted); gone > 0 && len(idle(parts)) > 0 && idle(parts)[0] < secondOf(known[0]) {
					t.Fatalf("%d were evicted, but one idle for longer stayed", gone)
				}
			}
			var ids, bytes int64
			for _, p := range parts {
				for _, q := range p.m {
					ids, bytes = ids+1, bytes+producerBytes
					if q.earlier != nil {
						bytes += earlierBytes
					}
				}
			}
			s := tb.Stats()
			if bytes += int64(len(tb.buckets)) * bucketBytes; s.IDs != ids || s.Bytes != bytes || bytes > s.Limit {
				t.Fatalf("%d ids of %d bytes are known, %+v", ids, bytes, s)
			}
		}
	})
}

// idle returns the times of all last batches, in order.
func idle(parts []*Producers) (ms []int64) {
	for _, p := range parts {
		for _, q := range p.m {
			ms = append(ms, q.appendedMs)
		}
	}
	slices.Sort(ms)
	return ms
}

// A flood of new ids evicts idle producers, but not one that keeps writing.
func TestFloodForgetsTheIdleAndNotTheActive(t *testing.T) {
	tb := NewTable(400 * producerBytes)
	flood, others := tb.Open(), tb.Open()
	others.Append(Batch{1, 0, 0, 0, 0}, 0)
	others.Append(Batch{2, 0, 0, 0, 0}, 1)
	for id := range int64(10_000) {
		ms := id * 100
		flood.Append(Batch{id, 0, 0, 0, ms}, id)
		if id%20 == 0 {
			others.Append(Batch{2, 0, int32(id + 1), int32(id + 1), ms}, id+2)
		}
	}
	if _, ok := others.Last(1); ok {
		t.Error("the idle one is still known")
	}
	if _, ok := others.Last(2); !ok {
		t.Error("the active one is forgotten")
	}
	if s := tb.Stats(); s.Bytes > s.Limit || s.IDs < 300 || s.Evicted < 9000 {
		t.Errorf("%+v", s)
	}
}

// The charge is the heap memory used, or slightly more.
func TestChargeMatchesTheHeap(t *testing.T) {
	const ids = 200_000
	tb := NewTable(1 << 30)
	ps := tb.Open()
	measure := func(batches int, want int64) {
		before := heapBytes()
		for i := range batches {
			for id := range int64(ids) {
				ps.Append(Batch{id, 0, int32(i), int32(i), id}, int64(i)*ids+id+1)
			}
		}
		took := heapBytes() - before
		t.Logf("%d ids with %d batches: %d bytes an id, %d charged", ids, batches, took/ids, tb.Stats().Bytes/ids)
		if took > want*ids*5/4 || took < want*ids/2 {
			t.Errorf("%d bytes an id, charged as %d", took/ids, want)
		}
		runtime.KeepAlive(ps)
	}
	measure(1, producerBytes)
	ps.Close()
	ps = tb.Open()
	measure(5, producerBytes+earlierBytes)
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Until the snapshots are loaded, only batches that need none of them are decided.
func TestLoading(t *testing.T) {
	tb := NewTable(1 << 20)
	ps := tb.OpenLoading(1, 5, 2)
	ps.Append(Batch{1, 0, 10, 10, 1000}, 50) // from the log
	for name, tc := range map[string]struct {
		in   Batch
		dup  bool
		want error
	}{
		"a new one":                    {Batch{6, 0, 0, 0, 1000}, false, nil},
		"one that is not known":        {Batch{2, 0, 0, 0, 1000}, false, ErrLoading},
		"a retry of what is known":     {Batch{1, 0, 10, 10, 1000}, true, nil},
		"the next of what is known":    {Batch{1, 0, 11, 11, 1000}, false, nil},
		"what may be an older retry":   {Batch{1, 0, 9, 9, 1000}, false, ErrLoading},
		"not of an idempotent one":     {Batch{NoProducer, -1, -1, -1, 1000}, false, nil},
		"a new epoch of what is known": {Batch{1, 1, 0, 0, 1000}, false, nil},
	} {
		if _, dup, err := ps.Check(tc.in); dup != tc.dup || err != tc.want {
			t.Errorf("%s: %v, %v", name, dup, err)
		}
	}
	old := fresh()
	old.Append(Batch{1, 0, 9, 9, 900}, 40)
	old.Append(Batch{2, 0, 0, 0, 900}, 41)
	if err := ps.Restore(old.Snapshot(), 0); err != nil {
		t.Fatal(err)
	}
	ps.Loaded(2000)
	for id, first := range map[int64]int32{1: 9, 2: 0} {
		if base, dup, err := ps.Check(Batch{id, 0, first, first, 2000}); !dup || err != nil || base != 39+id {
			t.Errorf("a retry of a batch that only the snapshot has: %d %v %v", base, dup, err)
		}
	}
	// A producer sent 0 and 5, and both were refused: 5 must not be accepted before 0.
	if _, _, err := ps.Check(Batch{3, 0, 5, 9, 2001}); err != ErrLoading {
		t.Errorf("a later batch is accepted as the first: %v", err)
	}
	if _, _, err := ps.Check(Batch{3, 0, 0, 4, 2001}); err != nil {
		t.Error(err)
	}
	if _, _, err := ps.Check(Batch{3, 0, 5, 9, 2000 + graceMs}); err != nil {
		t.Errorf("a forgotten producer cannot continue: %v", err)
	}
}

// Lanes and the loading of snapshots use one table concurrently.
func TestTableIsSafeForConcurrentUse(t *testing.T) {
	tb := NewTable(500 * producerBytes)
	old := fresh()
	for id := range int64(2000) {
		old.Append(Batch{id, 0, 0, 0, id}, id)
	}
	snapshot := old.Snapshot()
	var all sync.WaitGroup
	for lane := range int64(3) {
		ps := tb.OpenLoading(0, 2000, 2000)
		all.Go(func() {
			for i := range int64(5000) {
				b := Batch{i % 300, 0, int32(i), int32(i), 3000 + i}
				if _, _, err := ps.Check(b); err == nil {
					ps.Append(b, 3000+i*3+lane)
				}
			}
		})
		all.Go(func() {
			if err := ps.Restore(snapshot, 0); err != nil {
				t.Error(err)
			}
			ps.Loaded(3000)
			tb.Expire(500)
		})
	}
	all.Wait()
	if s := tb.Stats(); s.Bytes > s.Limit || s.IDs == 0 {
		t.Errorf("%+v", s)
	}
}

// A collector's snapshots match a table with enough memory for everything.
func TestCollector(t *testing.T) {
	held := memory.NewAccount(16 << 20)
	c, whole := NewCollector(held), NewTable(1<<30).Open()
	const ids = 20_000
	for i := range int64(3 * ids) {
		b := Batch{i % ids, 0, int32(i / ids), int32(i / ids), 1000 + i}
		c.Append(b, i)
		whole.Append(b, i)
	}
	snapshots, charged, lost := c.End()
	var merged []byte
	for _, s := range snapshots {
		var err error
		if merged, err = Merge(merged, s, 0); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(merged, whole.Snapshot()) || lost != 0 || len(snapshots) < 3 {
		t.Errorf("%d snapshots do not match the log; %d lost", len(snapshots), lost)
	}
	if held.Used() != charged || charged < int64(len(merged)) {
		t.Errorf("%d bytes are charged, not %d", held.Used(), charged)
	}
}

// Without enough memory, a collector drops the oldest producers and reports that.
func TestCollectorWithoutRoom(t *testing.T) {
	held := memory.NewAccount(collectBytes + 60_000)
	c := NewCollector(held)
	const ids = 20_000
	for i := range int64(ids) {
		c.Append(Batch{i, 0, 0, 0, 1000}, i)
	}
	ps := NewTable(1 << 30).Open()
	snapshots, _, lost := c.End()
	for _, s := range snapshots {
		if err := ps.Restore(s, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := ps.Last(ids - 1); !ok || ps.Len()+lost != ids || lost == 0 || held.Used() > held.Limit() {
		t.Errorf("%d are left, %d lost, the last one known: %v; %d of %d bytes", ps.Len(), lost, ok, held.Used(), held.Limit())
	}
}

func BenchmarkTable(b *testing.B) {
	tb := NewTable(1 << 30)
	b.RunParallel(func(pb *testing.PB) {
		ps := tb.Open()
		for i := int64(0); pb.Next(); i++ {
			x := Batch{i % 100, 0, int32(i / 100), int32(i / 100), i / 1000}
			if _, _, err := ps.Check(x); err != nil {
				b.Fatal(err)
			}
			ps.Append(x, i)
		}
	})
}

func BenchmarkRestore(b *testing.B) {
	old := NewTable(1 << 30).Open()
	const ids = 400_000
	for id := range int64(ids) {
		old.Append(Batch{id, 0, 0, 0, 1_700_000_000_000 + id/20}, id)
	}
	snapshot := old.Snapshot()
	b.ReportMetric(float64(len(snapshot))/ids, "B/id")
	for b.Loop() {
		if err := NewTable(1<<30).OpenLoading(0, ids, ids).Restore(snapshot, 0); err != nil {
			b.Fatal(err)
		}
	}
}
