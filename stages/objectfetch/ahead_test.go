package objectfetch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/stages/objectfetch"
)

// rendezvous makes requests wait until they are released.
type rendezvous struct {
	started chan [2]int64 // offset and length of each request that starts
	let     chan struct{}
}

func (s *store) hold() *rendezvous {
	r := &rendezvous{started: make(chan [2]int64, 100), let: make(chan struct{})}
	s.gate.Store(r)
	return r
}

func (r *rendezvous) pass(ctx context.Context, off, n int64) {
	r.started <- [2]int64{off, n}
	select {
	case <-r.let:
	case <-ctx.Done():
	}
}

// settled waits until no read-ahead is in flight.
func (f *fixture) settled(t *testing.T) {
	t.Helper()
	until := time.Now().Add(10 * time.Second)
	for f.fetch.Busy() > 0 {
		if time.Now().After(until) {
			t.Fatal("requests do not finish")
		}
		<-time.After(time.Millisecond)
	}
}

func aheadConfig() objectfetch.Config {
	c := objectfetch.DefaultConfig()
	c.RunBytes = 1 << 20
	return c
}

// scan reads the fixture sequentially from offset on and returns how many reads
// each source served.
func (f *fixture) scan(t *testing.T, offset, end int64, maxBytes int) map[flow.Source]int {
	t.Helper()
	from := map[flow.Source]int{}
	for offset < end {
		r := f.read(t, offset, maxBytes)
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		got := offsets(t, r)
		last := got[len(got)-1]
		if got[0] > offset || last < offset {
			t.Fatalf("offset %d: records %d to %d", offset, got[0], last)
		}
		offset = last + 1
		from[r.Source]++
		f.settled(t)
	}
	return from
}

func TestSequentialReaderGetsReadAhead(t *testing.T) {
	f := buildWith(t, aheadConfig(), 64<<20)
	from := f.scan(t, 100, 180, 256<<10) // 2.5 MiB in reads of 256 KiB
	if from[flow.FromObject] > 2 || from[flow.FromReadCache] < 8 {
		t.Errorf("reads by source: %v; want all but the first two from the cache", from)
	}
	if n := f.store.reads.Load(); n > 6 { // footer, two reads, and read-ahead in 1 MiB requests
		t.Errorf("%d requests for 2.5 MiB", n)
	}
	if held := f.metric(t, "sluice_read_ahead_held_bytes"); held > 1<<20 {
		t.Errorf("%v bytes are held for a reader at the end", held)
	}
}

// A first read of a MiB is not a lookup: the rest is fetched while the first part
// is sent.
func TestLargeFirstReadStartsReadAhead(t *testing.T) {
	cfg := aheadConfig()
	cfg.RunBytes = 4 << 20
	f := buildWith(t, cfg, 64<<20)
	from := f.scan(t, 100, 180, 1200<<10) // 2.5 MiB in three reads
	if from[flow.FromObject] != 1 || from[flow.FromReadCache] == 0 {
		t.Errorf("reads by source: %v; want all but the first from the cache", from)
	}
}

func TestRandomReaderGetsNoReadAhead(t *testing.T) {
	f := buildWith(t, aheadConfig(), 64<<20)
	for _, offset := range []int64{170, 140, 110, 160, 100} {
		f.read(t, offset, 1)
		f.settled(t)
	}
	if n := f.metric(t, "sluice_read_ahead_bytes_total"); n != 0 {
		t.Errorf("%v bytes read ahead", n)
	}
}

func TestReadAheadStaysWithinItsSpace(t *testing.T) {
	cfg := aheadConfig()
	cfg.AheadIdle = time.Minute
	f := buildWith(t, cfg, 2<<20) // half of it for read-ahead
	f.read(t, 100, 64<<10)
	f.read(t, 102, 64<<10)
	f.settled(t)
	held := f.metric(t, "sluice_read_ahead_held_bytes")
	if held == 0 || held > 1<<20 {
		t.Fatalf("%v bytes are held with a limit of 1 MiB", held)
	}
	// Another reader finds no space, and does not take it from the first.
	f.read(t, 160, 64<<10)
	f.read(t, 162, 64<<10)
	f.settled(t)
	if now := f.metric(t, "sluice_read_ahead_held_bytes"); now != held {
		t.Errorf("%v bytes are held, %v before: a reader lost blocks that it had not read", now, held)
	}
	// Once the first has been idle for long enough, it does.
	f.clock.Advance(2 * time.Minute)
	f.read(t, 164, 64<<10)
	f.settled(t)
	if n := f.metric(t, "sluice_read_ahead_wasted_bytes_total"); n != held {
		t.Errorf("%v bytes were dropped, want %v", n, held)
	}
	if now := f.metric(t, "sluice_read_ahead_held_bytes"); now == 0 || now > 1<<20 {
		t.Errorf("%v bytes are held for the second reader", now)
	}
}

// Read-ahead, however slow, does not delay foreground reads.
func TestReadAheadDelaysNobody(t *testing.T) {
	cfg := aheadConfig()
	cfg.AheadRequests = 1
	f := buildWith(t, cfg, 64<<20)
	f.read(t, 100, 64<<10)
	gate := f.store.hold()
	f.read(t, 102, 64<<10) // cached block; starts read-ahead, which waits
	first := <-gate.started
	f.store.gate.Store(nil)
	r := f.read(t, 170, 64<<10) // far from what is in flight
	if r.Err != nil || r.Source != flow.FromObject {
		t.Fatalf("%s, %v", r.Source, r.Err)
	}
	f.read(t, 172, 64<<10) // sequential, but the only request is in use
	if n := len(gate.started); n != 0 {
		t.Errorf("%d more requests started", n)
	}
	close(gate.let)
	f.settled(t)
	if first[1] > 1<<20 {
		t.Errorf("a request for %d bytes", first[1])
	}
}

func TestSameBlocksAreFetchedOnce(t *testing.T) {
	f := build(t)
	f.read(t, 179, 1) // the footer
	before := f.store.reads.Load()
	gate := f.store.hold()
	const readers = 8
	var wg sync.WaitGroup
	results := make([]*flow.Read, readers)
	for i := range readers {
		wg.Go(func() { // overlapping, not equal
			results[i] = f.read(t, 100+2*int64(i%3), 600<<10+i<<16)
		})
	}
	<-gate.started
	f.waiting(t, readers-1)
	close(gate.let)
	wg.Wait()
	for _, r := range results {
		if r.Err != nil || len(offsets(t, r)) == 0 {
			t.Errorf("%d bytes, %v", r.Bytes, r.Err)
		}
	}
	if n := f.store.reads.Load() - before; n != 1 {
		t.Errorf("%d requests for the same blocks", n)
	}
}

// A request continues after its reader has left, and others get its result.
func TestRequestOutlivesItsReader(t *testing.T) {
	f := build(t)
	f.read(t, 179, 1)
	gate := f.store.hold()
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan error)
	go func() {
		_, _, err := f.fetch.InObject(ctx, f.state.ID, f.ref, 0, 0)
		over <- err
	}()
	<-gate.started
	var r *flow.Read
	var wg sync.WaitGroup
	wg.Go(func() { r = f.read(t, 100, 1) })
	f.waiting(t, 1)
	leave()
	if err := <-over; err == nil {
		t.Error("a cancelled search succeeded")
	}
	close(gate.let)
	wg.Wait()
	if r.Err != nil || r.Bytes == 0 {
		t.Errorf("%d bytes, %v", r.Bytes, r.Err)
	}
	if n := len(gate.started); n != 0 {
		t.Errorf("%d more requests", n)
	}
}

// A failed read-ahead is not reported to a reader, and leaves nothing held.
func TestFailedReadAheadIsNotServed(t *testing.T) {
	f := buildWith(t, aheadConfig(), 64<<20)
	f.read(t, 100, 64<<10)
	f.store.damage.Store(true)
	f.read(t, 102, 64<<10)
	f.settled(t)
	f.store.damage.Store(false)
	f.clock.Advance(time.Minute)
	if held := f.metric(t, "sluice_read_ahead_held_bytes"); held != 0 {
		t.Errorf("%v damaged bytes are held", held)
	}
	f.scan(t, 104, 180, 256<<10)
}

func TestCloseEndsReadAhead(t *testing.T) {
	f := buildWith(t, aheadConfig(), 64<<20)
	f.read(t, 100, 64<<10)
	gate := f.store.hold()
	f.read(t, 102, 64<<10)
	<-gate.started
	f.fetch.Close() // cancels the request and waits for it
	if n := f.store.under.Load(); n != 0 {
		t.Errorf("%d requests in flight", n)
	}
}
