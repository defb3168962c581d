package partition

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/memory"
)

// list is a naive index: a list of all batches.
type list struct {
	batches []Entry
	floor   int64
}

func (l *list) append(e Entry) {
	if n := len(l.batches); n > 0 && l.batches[n-1].End() != e.Base {
		l.batches = nil
	}
	if len(l.batches) == 0 {
		l.floor = e.Base
	}
	l.batches = append(l.batches, e)
}

func (l *list) trim(offset int64) {
	if len(l.batches) == 0 {
		return
	}
	l.floor = max(l.floor, offset)
	for len(l.batches) > 0 && l.batches[0].End() <= offset {
		l.batches = l.batches[1:]
	}
}

// within returns the batches with offsets in [from, end).
func (l *list) within(from, end int64) (out []Entry) {
	for _, b := range l.batches {
		if b.End() > max(from, l.floor) && b.Base < end {
			out = append(out, b)
		}
	}
	return out
}

// of returns the batches that e is made of, and fails the test unless they are adjacent.
func (l *list) of(t *rapid.T, all []Entry, e Entry) []Entry {
	from := slices.IndexFunc(all, func(b Entry) bool { return b.Base == e.Base })
	to := slices.IndexFunc(all, func(b Entry) bool { return b.End() == e.End() })
	if from < 0 || to < from {
		t.Fatalf("entry %+v does not start and end at batch boundaries", e)
	}
	batches := all[from : to+1]
	want := batches[0]
	want.Batches = int32(len(batches))
	for i, b := range batches[1:] {
		before := batches[i]
		if b.Group != e.Group || b.Epoch != e.Epoch || b.Position != before.Position+Position(before.Size) {
			t.Fatalf("entry %+v has %+v after %+v", e, b, before)
		}
		want.Size, want.Count = want.Size+b.Size, want.Count+b.Count
		want.MaxTimestamp = max(want.MaxTimestamp, b.MaxTimestamp)
	}
	if e != want {
		t.Fatalf("entry %+v\nwant %+v", e, want)
	}
	if len(batches) > 1 && e.Size > RunBytes {
		t.Fatalf("an entry of %d bytes", e.Size)
	}
	return batches
}

// next draws a batch after last. It may be adjacent, or not, for each possible reason.
func next(t *rapid.T, last Entry) Entry {
	e := Entry{Base: last.End(), Group: last.Group, Position: last.Position + Position(last.Size), Epoch: last.Epoch,
		Count:        rapid.SampledFrom([]int32{1, 1, 1, 7, 1000, math.MaxInt32 / 2, math.MaxInt32}).Draw(t, "count"),
		Size:         rapid.SampledFrom([]int32{70, 70, 70, 1000, RunBytes / 2, RunBytes, 10 * RunBytes}).Draw(t, "size"),
		MaxTimestamp: rapid.SampledFrom([]int64{1_000_000, 1_000_500, 999_000, 0, -1, math.MaxInt64, 1 << 40}).Draw(t, "time")}
	switch rapid.IntRange(0, 12).Draw(t, "how") {
	case 0: // the next group
		e.Group = (e.Position + 4095) / 4096 * 4096
		e.Position = e.Group + 124
	case 1: // with other partitions' batches between
		e.Position += 100
	case 2: // far away
		e.Group += 1 << 33
		e.Position = e.Group + 124
	case 3:
		e.Epoch++
	case 4:
		e.Base += 5
	case 5:
		e.Base -= 1
	}
	return e
}

// The index answers like a list of all batches, to the granularity of its entries, and
// its memory is charged.
func TestTailAnswersLikeAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tail Tail
		account := memory.NewAccount(1 << 30)
		tail.ChargeTo(account)
		var naive list
		last := Entry{Base: 100, Position: 1 << 20, Group: 1 << 20}
		var all []Entry // including trimmed ones, since entries may still cover them
		offset := func(name string) int64 {
			if len(all) == 0 {
				return rapid.Int64Range(0, 200).Draw(t, name)
			}
			b := rapid.SampledFrom(all).Draw(t, name)
			return b.Base + rapid.Int64Range(-1, int64(b.Count)+1).Draw(t, name+" in it")
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 1, 5, 300}).Draw(t, "batches") {
					e := next(t, last)
					if e.Base != last.End() {
						all = nil
					}
					tail.Append(e)
					naive.append(e)
					all, last = append(all, e), e
				}
			},
			"trim": func(t *rapid.T) {
				if len(naive.batches) > 0 { // at batch boundaries, as uploads do
					to := rapid.SampledFrom(naive.batches).Draw(t, "to").End()
					tail.Trim(to)
					naive.trim(to)
				}
			},
			"entries": func(t *rapid.T) {
				from, end := offset("from"), offset("end")
				var got []Entry
				for e := range tail.Entries(from, end) {
					got = append(got, naive.of(t, all, e)...)
				}
				same(t, naive.within(from, end), got, from, end)
			},
			"from": func(t *rapid.T) { readFrom(t, &tail, &naive, all, offset("offset"), offset("end")) },
			"sum": func(t *rapid.T) {
				from, end := offset("from"), offset("end")
				bytes, newest := tail.Sum(from, end)
				wantBytes, wantNewest := int64(0), int64(-1)
				for e := range tail.Entries(from, end) {
					wantBytes, wantNewest = wantBytes+int64(e.Size), max(wantNewest, e.MaxTimestamp)
				}
				if bytes != wantBytes || newest != wantNewest {
					t.Fatalf("sum from %d to %d: %d bytes, %d ms; want %d, %d", from, end, bytes, newest, wantBytes, wantNewest)
				}
			},
			"by time": func(t *rapid.T) {
				ms := rapid.SampledFrom([]int64{-1, 0, 1, 999_000, 1_000_400, 1 << 40, math.MaxInt64}).Draw(t, "ms")
				byTime(t, &tail, &naive, all, ms, offset("from"))
			},
			"": func(t *rapid.T) {
				start, ok := tail.Start()
				if ok != (len(naive.batches) > 0) || ok && start != naive.floor {
					t.Fatalf("start %d, %v of %d batches from %d on", start, ok, len(naive.batches), naive.floor)
				}
				taken := int64(0)
				for _, b := range tail.blocks {
					taken += b.memory()
				}
				if account.Used() != taken || len(naive.batches) == 0 && taken > 0 {
					t.Fatalf("charged with %d bytes, has %d in %d blocks for %d batches", account.Used(), taken, len(tail.blocks), len(naive.batches))
				}
			},
		})
	})
}

// same checks that got equals want, apart from extra batches at either end.
func same(t *rapid.T, want, got []Entry, from, end int64) {
	if len(want) == 0 {
		return
	}
	i := slices.Index(got, want[0])
	if i < 0 || len(got)-i < len(want) || !slices.Equal(got[i:i+len(want)], want) {
		t.Fatalf("from %d to %d: the %d batches of the entries do not cover the %d wanted", from, end, len(got), len(want))
	}
}

func readFrom(t *rapid.T, tail *Tail, naive *list, all []Entry, offset, end int64) {
	maxBytes := rapid.SampledFrom([]int{0, 1, 100, 5000, 1 << 20, math.MaxInt32}).Draw(t, "bytes")
	entries, ok := tail.From(nil, offset, end, maxBytes)
	guess, ok2 := tail.Estimate(offset, end, maxBytes)
	if ok != ok2 || ok != (len(naive.batches) > 0 && offset >= naive.floor) {
		t.Fatalf("offset %d: %v and %v with %d batches from %d on", offset, ok, ok2, len(naive.batches), naive.floor)
	}
	if !ok {
		return
	}
	want := naive.within(offset, end)
	var got []Entry
	for _, e := range entries {
		got = append(got, naive.of(t, all, e)...)
	}
	if len(want) == 0 {
		return // at or after the end; an entry may extend past it
	}
	i := slices.Index(got, want[0])
	if i < 0 {
		t.Fatalf("offset %d is not in the first of %v", offset, entries)
	}
	have := got[i:]
	n := min(len(have), len(want))
	if !slices.Equal(have[:n], want[:n]) {
		t.Fatalf("offset %d: different batches", offset)
	}
	if again := Estimate(entries, offset, end, maxBytes); maxBytes > 0 && again != guess {
		t.Fatalf("the estimate is %d, but %d from the returned entries", guess, again)
	}
	if entries[0].Base >= offset && entries[len(entries)-1].End() <= end { // the estimate is exact
		sum := 0
		for _, b := range have {
			sum += int(b.Size)
		}
		first := int(entries[0].Size / entries[0].Batches)
		if maxBytes > 0 && guess != max(first, min(sum, maxBytes)) || n < len(want) && sum < maxBytes {
			t.Fatalf("estimate %d of %d bytes, at most %d; %d of %d batches", guess, sum, maxBytes, n, len(want))
		}
	}
}

// byTime searches as readers do: entry by entry, then the batches of each.
func byTime(t *rapid.T, tail *Tail, naive *list, all []Entry, ms, from int64) {
	want := slices.IndexFunc(naive.batches, func(b Entry) bool { return b.MaxTimestamp >= ms && b.End() > max(from, naive.floor) })
	for at := from; ; {
		e, ok := tail.ByTime(ms, at)
		if !ok {
			if want >= 0 {
				t.Fatalf("nothing at %d ms from %d on, want %+v", ms, from, naive.batches[want])
			}
			return
		}
		if e.MaxTimestamp < ms || e.End() <= at {
			t.Fatalf("found %+v at %d ms from %d on", e, ms, at)
		}
		for _, b := range naive.of(t, all, e) {
			if b.MaxTimestamp >= ms && b.End() > max(from, naive.floor) {
				if want < 0 || b != naive.batches[want] {
					t.Fatalf("found %+v at %d ms from %d on", b, ms, from)
				}
				return
			}
		}
		at = e.End()
	}
}

// Many one-record batches in each group take less than a byte per batch.
func TestTailIsSmallForSmallBatches(t *testing.T) {
	var tail Tail
	account := memory.NewAccount(0)
	tail.ChargeTo(account)
	const batches, size = 9_000_000, 75
	at := Position(4096)
	for i := int64(0); i < batches; {
		group := at
		for at += 88; i < batches && at < group+256<<10; i++ {
			tail.Append(Entry{Base: i, Position: at, Group: group, Size: size, Count: 1, MaxTimestamp: i / 1000})
			at += size
		}
		at = (at + 4095) / 4096 * 4096
	}
	if n := account.Used(); n > 1<<20 {
		t.Errorf("%d bytes for %d batches", n, batches)
	}
	if bytes, newest := tail.Sum(0, batches); bytes != batches*size || newest != (batches-1)/1000 {
		t.Errorf("%d bytes up to %d ms", bytes, newest)
	}
	tail.Trim(batches)
	if _, ok := tail.Start(); ok || account.Used() != 0 {
		t.Errorf("an empty tail is charged with %d bytes", account.Used())
	}
}

func BenchmarkTailAppend(b *testing.B) {
	for name, perGroup := range map[string]int{"1 batch a group": 1, "1000 batches a group": 1000} {
		b.Run(name, func(b *testing.B) {
			var tail Tail
			b.ReportAllocs()
			at, group := Position(4096), Position(4096)
			for i := range b.N {
				if i%perGroup == 0 {
					group = (at + 4095) / 4096 * 4096
					at = group + 124
				}
				tail.Append(Entry{Base: int64(i), Position: at, Group: group, Size: 75, Count: 1, MaxTimestamp: int64(i)})
				at += 75
			}
		})
	}
}

func BenchmarkTailFrom(b *testing.B) {
	var tail Tail
	for i := range 1_000_000 {
		group := Position(i/1000) << 20
		tail.Append(Entry{Base: int64(i), Position: group + Position(i%1000*75), Group: group, Size: 75, Count: 1, MaxTimestamp: int64(i)})
	}
	var dst []Entry
	b.ReportAllocs()
	for i := range b.N {
		dst, _ = tail.From(dst[:0], int64(i*7919%1_000_000), 1_000_000, 1<<20)
	}
}

// TestTruncateKeepsWhatIsBelow: wherever a tail is truncated, what is below stays as it was, what
// follows can be appended, and the memory is accounted for.
func TestTruncateKeepsWhatIsBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var account memory.Account
		var tail Tail
		tail.ChargeTo(&account)
		n := rapid.IntRange(1, 100).Draw(t, "entries")
		for i := range n {
			tail.Append(Entry{Base: int64(10 * i), Position: Position(4096 * i), Group: Position(4096 * i), Size: 100, Count: 10, Epoch: int32(i / 40), Batches: 2})
		}
		cut := rapid.IntRange(0, n-1).Draw(t, "entry")
		to, short := int64(10*cut), Entry{}
		if rapid.Bool().Draw(t, "inside") {
			e, ok := tail.At(to)
			if !ok || e.Base != to {
				t.Fatalf("at %d: %+v", to, e)
			}
			short = e
			short.Size, short.Count, short.Batches = 50, 5, 1
			to += 5
		}
		tail.Truncate(to, short)
		next := int64(0)
		for e := range tail.Entries(0, 1<<40) {
			if e.Base != next {
				t.Fatalf("entry at %d, want %d", e.Base, next)
			}
			next = e.End()
		}
		if next != to {
			t.Fatalf("it ends at %d, want %d", next, to)
		}
		tail.Append(Entry{Base: to, Position: 1 << 30, Group: 1 << 30, Size: 7, Count: 1, Epoch: 9})
		if _, end := tail.appendedTo(); end != to+1 {
			t.Fatalf("after an append it ends at %d", end)
		}
		tail.Close()
		if used := account.Used(); used != 0 {
			t.Fatalf("%d bytes stay charged", used)
		}
	})
}
