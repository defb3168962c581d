package pipeline

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestEmittersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		in, out, closeIn := Pipe[int](1)
		for i := range 20 {
			go func() { _ = out(t.Context(), Parcel[int]{i, 1, l.receipt()}) }()
			synctest.Wait()
		}
		var seen []int
		for range 20 {
			p, _ := in.Recv(t.Context())
			seen = append(seen, p.Body)
			p.Settle(nil)
		}
		if !slices.IsSorted(seen) {
			t.Errorf("got %v", seen)
		}
		closeIn()
		l.check(t)
	})
}

func TestNewEmittersDoNotPassWaitingOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		in, out, closeIn := Pipe[int](1)
		_ = out(t.Context(), Parcel[int]{0, 1, l.receipt()})
		go func() { _ = out(t.Context(), Parcel[int]{1, 1, l.receipt()}) }()
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		first, _ := in.TryRecv() // the space belongs to the waiter
		if err := out(ended, Parcel[int]{2, 1, l.receipt()}); err == nil {
			t.Error("a new emitter took its space")
		}
		second, err := in.Recv(t.Context())
		if err != nil || second.Body != 1 {
			t.Errorf("got %d, %v", second.Body, err)
		}
		first.Settle(nil)
		second.Settle(nil)
		closeIn()
		l.check(t)
	})
}

// Space granted to an emitter that gives up at the same moment goes to the next.
func TestSpaceGrantedToACancelledEmitterIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		in, out, closeIn := Pipe[int](1)
		_ = out(t.Context(), Parcel[int]{0, 1, l.receipt()})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = out(ctx, Parcel[int]{1, 1, l.receipt()}) }()
		synctest.Wait()
		go func() { _ = out(t.Context(), Parcel[int]{2, 1, l.receipt()}) }()
		synctest.Wait()
		var buf [1]Parcel[int]
		in.q.mu.Lock() // so that both happen before the first emitter can move
		cancel()
		in.q.get(buf[:])
		in.q.mu.Unlock()
		buf[0].Settle(nil)
		synctest.Wait()
		if p, ok := in.TryRecv(); !ok || p.Body != 2 {
			t.Error("the remaining waiter was not woken")
		} else {
			p.Settle(nil)
		}
		closeIn()
		synctest.Wait()
		l.check(t)
	})
}

func TestSpaceForManyWakesMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		in, out, closeIn := Pipe[int](10)
		for range 20 {
			go func() { _ = out(t.Context(), Parcel[int]{0, 1, l.receipt()}) }()
		}
		synctest.Wait()
		var buf [20]Parcel[int]
		for range 2 {
			n, _ := in.RecvBatch(t.Context(), buf[:])
			if n != 10 {
				t.Errorf("took %d, want 10", n)
			}
			for _, p := range buf[:n] {
				p.Settle(nil)
			}
			synctest.Wait()
		}
		closeIn()
		l.check(t)
	})
}

// A worker that retires may have been the one woken for a parcel.
func TestRetiringPassesTheWakeupOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		stays, out, closeIn := Pipe[int](1)
		goes := &In[int]{q: stays.q, retired: make(chan struct{})}
		woken, retired := make(chan struct{}), make(chan struct{})
		go func() {
			<-goes.Ready()
			close(woken)
			<-retired
			var buf [1]Parcel[int]
			if _, err := goes.TryRecvBatch(buf[:]); err != io.EOF {
				t.Errorf("retired worker got %v", err)
			}
		}()
		synctest.Wait()
		got := make(chan int, 1)
		go func() {
			p, _ := stays.Recv(t.Context())
			got <- p.Body
			p.Settle(nil)
		}()
		synctest.Wait()
		_ = out(t.Context(), Parcel[int]{5, 1, l.receipt()})
		<-woken
		close(goes.retired)
		close(retired)
		if v := <-got; v != 5 {
			t.Errorf("got %d", v)
		}
		closeIn()
		synctest.Wait()
		l.check(t)
	})
}

func TestReadyTokenIsNotStale(t *testing.T) {
	var l receipts
	in, out, closeIn := Pipe[int](4)
	defer closeIn()
	in.Ready() // starts watching
	_ = out(t.Context(), Parcel[int]{0, 1, l.receipt()})
	p, _ := in.TryRecv() // without having waited
	p.Settle(nil)
	select {
	case <-in.Ready():
		t.Error("ready although nothing is queued")
	default:
	}
	l.check(t)
}

func TestReadyWorksWithTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l receipts
		in, out, closeIn := Pipe[int](4)
		go func() {
			for i := range 3 {
				time.Sleep(time.Second)
				_ = out(t.Context(), Parcel[int]{i, 1, l.receipt()})
			}
			time.Sleep(time.Second)
			closeIn()
		}()
		time.Sleep(2500 * time.Millisecond) // two are queued
		var log []string
		begin := time.Now()
		for {
			select {
			case <-in.Ready():
			case <-time.After(300 * time.Millisecond):
				log = append(log, "timer")
				continue
			}
			var buf [1]Parcel[int]
			n, err := in.TryRecvBatch(buf[:])
			if err == io.EOF {
				break
			}
			if n == 0 {
				log = append(log, "spurious wakeup")
				continue
			}
			log = append(log, "parcel")
			buf[0].Settle(nil)
		}
		want := []string{"parcel", "parcel", "timer", "parcel", "timer", "timer", "timer"}
		if !slices.Equal(log, want) || time.Since(begin) != 1500*time.Millisecond {
			t.Errorf("after %v: %q", time.Since(begin), log)
		}
		l.check(t)
	})
}
