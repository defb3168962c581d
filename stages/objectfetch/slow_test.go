package objectfetch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/readcache"
)

// poll performs one read for a client that does not wait.
func (f *fixture) poll(t *testing.T, offset int64, maxBytes int) *flow.Read {
	t.Helper()
	due := make(chan struct{})
	close(due)
	r := &flow.Read{State: f.state, Offset: offset, MaxBytes: maxBytes, Object: &f.ref}
	fetch := &flow.Fetch{Reads: []*flow.Read{r}, MaxBytes: maxBytes, Due: due}
	_, verdicts, err := pipelinetest.Drive(t, f.fetch.Stage(), fetch)
	if err != nil || errors.Join(verdicts...) != nil {
		t.Fatal(err, verdicts)
	}
	return r
}

// eventually waits until done, or fails the test.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(until) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// unused returns a fixture whose cache evicts everything, like that of a broker
// whose consumers all read something else.
func unused(t *testing.T) *fixture {
	t.Helper()
	cfg := objectfetch.DefaultConfig()
	cfg.AheadBytes, cfg.RequestBytes = 0, 2<<20
	return buildWith(t, cfg, 1)
}

// A reader that never waits still gets its records: requests outlive their
// readers, none is made twice, and results are kept until they are requested.
func TestLateResultIsKeptForTheNextPoll(t *testing.T) {
	f := unused(t)
	gate := f.store.hold()
	eventually(t, "the footer is requested", func() bool {
		if r := f.poll(t, 100, 64<<10); r.Bytes != 0 || r.Err != nil {
			t.Fatalf("%d bytes, %v", r.Bytes, r.Err)
		}
		return f.store.reads.Load() == 1
	})
	f.poll(t, 100, 64<<10)
	gate.let <- struct{}{} // the footer
	eventually(t, "the blocks are requested", func() bool {
		f.poll(t, 100, 64<<10)
		return f.store.reads.Load() == 2
	})
	gate.let <- struct{}{}
	var r *flow.Read
	eventually(t, "records", func() bool {
		r = f.poll(t, 100, 64<<10)
		return r.Bytes > 0
	})
	if got := offsets(t, r); got[0] != 100 || f.store.reads.Load() != 2 {
		t.Errorf("offsets %v with %d requests", got, f.store.reads.Load())
	}
	eventually(t, "no more than one block and the footer are held", func() bool { used, _ := f.fetch.Memory(); return used < 400<<10 })
}

// Requests in flight and kept results stay within their memory limit; requests
// beyond it wait, and are served.
func TestMemoryOfRequestsIsBounded(t *testing.T) {
	cfg := objectfetch.DefaultConfig()
	cfg.AheadBytes, cfg.RequestBytes = 0, 1<<20
	f := buildWith(t, cfg, 64<<20)
	f.read(t, 100, 1) // the footer
	gate := f.store.hold()
	f.store.most.Store(0)
	var wg sync.WaitGroup
	for i := range int64(10) { // a block of some 200 KiB each
		wg.Go(func() {
			r := f.read(t, 100+8*i, 1)
			if r.Err != nil || len(offsets(t, r)) == 0 {
				t.Errorf("read %d: %d bytes, %v", i, r.Bytes, r.Err)
			}
		})
	}
	<-gate.started
	<-gate.started // none finishes before it is released
	served := make(chan struct{})
	go func() {
		defer close(served)
		wg.Wait()
	}()
	for waiting := true; waiting; {
		select {
		case gate.let <- struct{}{}:
		case <-served:
			waiting = false
		}
		if used, limit := f.fetch.Memory(); used > limit {
			t.Errorf("%d bytes of %d", used, limit)
		}
	}
	if n := f.store.most.Load(); n < 2 || n > 4 { // three quarters of a MiB
		t.Errorf("%d requests at once", n)
	}
	eventually(t, "everything is released", func() bool { used, _ := f.fetch.Memory(); return used <= 64<<10 })
}

// Results whose readers have left are kept only up to the memory limit.
func TestKeptResultsAreBounded(t *testing.T) {
	f := unused(t)
	for range 5 {
		for i := range int64(10) {
			f.poll(t, 100+8*i, 1)
			if used, limit := f.fetch.Memory(); used > limit {
				t.Errorf("%d bytes of %d", used, limit)
			}
		}
	}
	eventually(t, "kept results fit the limit", func() bool { used, _ := f.fetch.Memory(); return used > 0 && used <= 512<<10 })
}

// A fetch that is answered without a slow read keeps the results of the others.
func TestOneSlowReadDoesNotHoldTheOthers(t *testing.T) {
	cfg := objectfetch.DefaultConfig()
	cfg.AheadBytes = 0
	f := buildWith(t, cfg, 64<<20)
	f.read(t, 100, 1)
	f.store.hold()
	hot := &flow.Read{State: f.state, Offset: 100, MaxBytes: 1, Object: &f.ref}
	slow := &flow.Read{State: f.state, Offset: 170, MaxBytes: 1, Object: &f.ref}
	fetch := &flow.Fetch{Reads: []*flow.Read{slow, hot}, MaxBytes: 1 << 20}
	for _, drive := range []func() error{
		func() error {
			_, _, err := pipelinetest.Drive(t, readcache.Stage(f.cache, f.fetch.Served), fetch)
			return err
		},
		func() error { _, _, err := pipelinetest.Drive(t, f.fetch.Stage(), fetch); return err },
	} {
		if err := drive(); err != nil {
			t.Fatal(err)
		}
	}
	if hot.Bytes == 0 || slow.Bytes != 0 || slow.Err != nil {
		t.Errorf("hot: %d bytes, slow: %d bytes, %v", hot.Bytes, slow.Bytes, slow.Err)
	}
}

// Stop releases all waiters, even if a request ignores its cancelled context.
func TestStopReleasesWaiters(t *testing.T) {
	f := unused(t)
	gate := f.store.hold()
	over := make(chan error, 1)
	go func() {
		_, _, err := f.fetch.InObject(context.Background(), f.state.ID, f.ref, 0, 0)
		over <- err
	}()
	<-gate.started
	f.fetch.Stop()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(gate.let)
	f.fetch.Close()
}
