package pipeline

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecvBatchTakesEverythingQueued(t *testing.T) {
	var l receipts
	in, out, closeIn := Pipe[int](100)
	for i := range 50 { // grows the ring, twice
		if err := out(t.Context(), Parcel[int]{i, 1, l.receipt()}); err != nil {
			t.Fatal(err)
		}
	}
	var buf [64]Parcel[int]
	n, err := in.RecvBatch(t.Context(), buf[:])
	if n != 50 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for i, p := range buf[:n] {
		if p.Body != i {
			t.Errorf("%d at %d", p.Body, i)
		}
		p.Settle(nil)
	}
	if _, ok := in.TryRecv(); ok || in.Closed() {
		t.Error("neither empty nor closed")
	}
	_ = out(t.Context(), Parcel[int]{7, 1, l.receipt()})
	closeIn()
	if p, err := in.Recv(t.Context()); err != nil || p.Body != 7 || !in.Closed() {
		t.Errorf("a parcel queued before the close is gone: %v", err)
	} else {
		p.Settle(nil)
	}
	if _, err := in.Recv(t.Context()); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if err := out(t.Context(), Parcel[int]{8, 1, l.receipt()}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if acked, nacked := l.check(t); acked != 51 || nacked != 1 {
		t.Errorf("acked %d, nacked %d", acked, nacked)
	}
}

func TestInflightForgetsWhatHasLeft(t *testing.T) {
	in, out, closeIn := Pipe[int](16)
	defer closeIn()
	kept := make([]Parcel[int], 0, 100)
	for i := range 10000 {
		_ = out(t.Context(), Parcel[int]{i, 1, NewReceipt(nil)})
		p, _ := in.TryRecv()
		if i%100 == 0 {
			kept = append(kept, p)
			continue
		}
		p.Settle(nil)
	}
	if n := len(in.q.held); n > 2*len(kept)+minCompact {
		t.Errorf("tracks %d receipts, %d are in hand", n, len(kept))
	}
	if n := in.q.inHand(); n != len(kept) {
		t.Errorf("%d in hand, want %d", n, len(kept))
	}
	for _, p := range kept {
		p.Settle(nil)
	}
}

func TestCancelledWaitLosesNoParcel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		gone := errors.New("gone")
		in, out, closeIn := Pipe[int](1)
		ctx, cancel := context.WithCancelCause(t.Context())
		errs := make(chan error, 3)
		go func() { _, err := in.Recv(ctx); errs <- err }()
		synctest.Wait()
		cancel(gone)
		if err := <-errs; err != gone {
			t.Errorf("recv: %v", err)
		}
		_ = out(t.Context(), Parcel[int]{1, 1, l.receipt()})
		if err := out(ctx, Parcel[int]{2, 1, l.receipt()}); err != gone || l.nacked.Load() != 1 {
			t.Errorf("emit: %v, nacked %d", err, l.nacked.Load())
		}
		go func() { errs <- out(t.Context(), Parcel[int]{3, 1, l.receipt()}) }()
		for _, want := range []int{1, 3} {
			p, err := in.Recv(t.Context())
			if err != nil || p.Body != want {
				t.Errorf("got %d, %v, want %d", p.Body, err, want)
			}
			p.Settle(nil)
		}
		closeIn()
		l.check(t)
	})
}

// Many of everything: emitters that give up, readers of three kinds, a changing
// depth. Nothing is lost or duplicated, and nobody sleeps forever.
func TestManyEmittersAndReaders(t *testing.T) {
	const emitters, each = 8, 2000
	var l receipts
	in, out, closeIn := Pipe[int](4)
	var emitting, reading sync.WaitGroup
	for e := range emitters {
		emitting.Go(func() {
			for i := range each {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*100*time.Microsecond)
				_ = out(ctx, Parcel[int]{e*each + i, 1, l.receipt()})
				cancel()
			}
		})
	}
	seen := make([]atomic.Int32, emitters*each)
	readers := []func(buf []Parcel[int]) (int, error){
		func(buf []Parcel[int]) (int, error) { return in.RecvBatch(t.Context(), buf) },
		func(buf []Parcel[int]) (int, error) { return in.RecvBatch(t.Context(), buf[:1]) },
		func(buf []Parcel[int]) (int, error) { <-in.Ready(); return in.TryRecvBatch(buf) },
		func(buf []Parcel[int]) (int, error) { <-in.Ready(); return in.TryRecvBatch(buf[:1]) },
	}
	for _, recv := range readers {
		reading.Go(func() {
			var buf [5]Parcel[int]
			for i := 0; ; i++ {
				n, err := recv(buf[:])
				if err != nil {
					return
				}
				for _, p := range buf[:n] {
					seen[p.Body].Add(1)
					p.Settle(nil)
				}
				if i%64 == 0 {
					in.q.setDepth(1 + i%9)
				}
			}
		})
	}
	emitting.Wait()
	closeIn()
	reading.Wait()
	acked, _ := l.check(t)
	var delivered int64
	for i := range seen {
		if n := seen[i].Load(); n > 1 {
			t.Fatalf("parcel %d arrived %d times", i, n)
		} else {
			delivered += int64(n)
		}
	}
	if delivered != acked || delivered == 0 {
		t.Errorf("delivered %d, acked %d", delivered, acked)
	}
	if in.q.n != 0 || in.q.bytesHere != 0 || in.q.emitters.Len() != 0 || in.q.reserved != 0 || in.q.readers != 0 || in.q.inHand() != 0 {
		t.Errorf("left behind: %d queued, %d bytes, %d emitters, %d readers, %d in hand",
			in.q.n, in.q.bytesHere, in.q.emitters.Len(), in.q.readers, in.q.inHand())
	}
}

func TestBucketsFitTheirBounds(t *testing.T) {
	for i := range bucketCount {
		le := int64(bucketBound(i))
		if bucketOf(le) != i || bucketOf(le+1) != i+1 {
			t.Errorf("bucket %d: %v is in %d, the next in %d", i, bucketBound(i), bucketOf(le), bucketOf(le+1))
		}
	}
	if bucketOf(0) != 0 || bucketOf(int64(time.Hour)) != bucketCount {
		t.Errorf("ends: %d, %d", bucketOf(0), bucketOf(int64(time.Hour)))
	}
}
