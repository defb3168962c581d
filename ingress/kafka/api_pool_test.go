package kafka

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestPoolBoundsWhatRunsAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 16
		c := newPool(slots, quiet())
		release, ran := make(chan struct{}), make(chan int, 2*slots)
		someone := func(i int) pipeline.Holder {
			return pipeline.Holder{Conn: uint64(i), Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
		}
		for i := range slots + 1 {
			go c.run(t.Context(), someone(i), func() { ran <- i; <-release })
		}
		synctest.Wait()
		if len(ran) != slots {
			t.Fatalf("%d run in %d slots", len(ran), slots)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c.run(ctx, someone(99), func() { t.Error("ran without a slot") }) {
			t.Error("run returned true after the context ended")
		}
		closed := make(chan struct{})
		close(release)
		synctest.Wait()
		go func() { c.close(); close(closed) }()
		<-closed
		if c.run(t.Context(), someone(99), func() { t.Error("ran after close") }) || len(ran) != slots+1 {
			t.Errorf("after close; %d ran", len(ran))
		}
	})
}

// One address never takes every slot.
func TestAPoolHasSlotsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPool(16, quiet())
		release, ran := make(chan struct{}), make(chan int, 64)
		address := netip.MustParseAddr("192.0.2.1")
		for i := range 40 {
			go c.run(t.Context(), pipeline.Holder{Conn: uint64(i), Addr: address}, func() { ran <- i; <-release })
		}
		synctest.Wait()
		if n := len(ran); n < 8 || n > 12 {
			t.Errorf("one address has %d of 16 slots", n)
		}
		other := make(chan struct{})
		if !c.run(t.Context(), pipeline.Holder{Conn: 100, Addr: netip.MustParseAddr("192.0.2.2")}, func() { close(other) }) {
			t.Error("another address gets no slot")
		}
		<-other
		close(release)
		synctest.Wait()
		if len(ran) != 40 {
			t.Errorf("%d of 40 ran", len(ran))
		}
		c.close()
	})
}

func TestAPoolOutlivesAPanic(t *testing.T) {
	c := newPool(1, quiet())
	defer c.close()
	answers := make(chan Response, 1)
	c.serve(t.Context(), &Request{}, func(r Response) { answers <- r }, func() kmsg.Response { panic("no") })
	if r := <-answers; !r.Silent || !r.Close {
		t.Errorf("%+v", r)
	}
	c.serve(t.Context(), &Request{}, func(r Response) { answers <- r }, func() kmsg.Response { return kmsg.NewPtrMetadataResponse() })
	if r := <-answers; r.Message == nil {
		t.Errorf("%+v", r)
	}
}

func TestChangesKeepToTheShorterTime(t *testing.T) {
	req := kmsg.NewPtrCreateTopicsRequest()
	for ms, want := range map[int32]time.Duration{0: 10 * time.Second, -1: 10 * time.Second, 500: 500 * time.Millisecond, 60_000: 10 * time.Second} {
		req.TimeoutMillis = ms
		if got := timeout(req, 10*time.Second); got != want {
			t.Errorf("%d ms: %v, want %v", ms, got, want)
		}
	}
	if got := timeout(kmsg.NewPtrMetadataRequest(), time.Minute); got != time.Minute {
		t.Errorf("a request without a timeout: %v", got)
	}
}
