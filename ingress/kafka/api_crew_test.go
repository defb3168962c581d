package kafka

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestCrewBoundsWhatRunsAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(2, quiet())
		release, ran := make(chan struct{}), make(chan int, 8)
		for i := range 3 {
			go c.run(t.Context(), func() { ran <- i; <-release })
		}
		synctest.Wait()
		if len(ran) != 2 {
			t.Fatalf("%d run, there are 2 places", len(ran))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c.run(ctx, func() { t.Error("ran without a place") }) {
			t.Error("run after its connection ended")
		}
		closed := make(chan struct{})
		close(release)
		synctest.Wait()
		go func() { c.close(); close(closed) }()
		<-closed
		if c.run(t.Context(), func() { t.Error("ran after close") }) || len(ran) != 3 {
			t.Errorf("after close; %d ran", len(ran))
		}
	})
}

func TestACrewOutlivesAPanic(t *testing.T) {
	c := newCrew(1, quiet())
	defer c.close()
	answers := make(chan Response, 1)
	c.serve(t.Context(), func(r Response) { answers <- r }, func() kmsg.Response { panic("no") })
	if r := <-answers; !r.Silent || !r.Close {
		t.Errorf("%+v", r)
	}
	c.serve(t.Context(), func(r Response) { answers <- r }, func() kmsg.Response { return kmsg.NewPtrMetadataResponse() })
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
