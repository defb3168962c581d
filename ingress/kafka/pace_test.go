package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func impatient() ServerConfig {
	cfg := DefaultServerConfig()
	cfg.StallGrace, cfg.MinBytesPerSecond, cfg.TransferTimeout = 200*time.Millisecond, 1<<20, time.Second
	return cfg
}

// head returns the first bytes of a Heartbeat frame of the given size.
func head(size uint32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, size), 0, 12, 0, 3, 0, 0, 0, 1, 0xff, 0xff)
}

func TestAFrameThatStandsStillIsCutOffAndHoldsNothing(t *testing.T) {
	w := dial(t, impatient(), echo)
	if _, err := w.nc.Write(head(6 << 20)); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(w.over) == 0 && time.Now().Before(deadline) {
		if n := w.gate.InUse(); n > firstStep {
			t.Fatalf("%d bytes are charged for 14 received", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := <-w.over; !errors.Is(err, errTooSlow) {
		t.Errorf("ended with %v", err)
	}
	if n := testutil.ToFloat64(w.server.metrics.slow.WithLabelValues("request")); n != 1 {
		t.Errorf("%v slow requests counted", n)
	}
}

func TestAFrameThatDripsIsCutOff(t *testing.T) {
	w := dial(t, impatient(), echo)
	if _, err := w.nc.Write(head(6 << 20)); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := w.nc.Write(make([]byte, 100)); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if err := <-w.over; !errors.Is(err, errTooSlow) {
		t.Errorf("ended with %v", err)
	}
}

func TestAConnectionThatNeverSendsIsClosed(t *testing.T) {
	w := dial(t, impatient(), echo)
	w.closed()
}

func TestAReaderThatStandsStillIsCutOff(t *testing.T) {
	released := make(chan struct{})
	w := dial(t, impatient(), handlerOf(func(_ context.Context, _ *Request, reply func(Response)) {
		reply(Response{Body: [][]byte{make([]byte, 64<<20)}, Release: func() { close(released) }})
	}))
	w.send(heartbeat(3, "g"), 1)
	<-released
	if err := <-w.over; !errors.Is(err, errTooSlow) {
		t.Errorf("ended with %v", err)
	}
	if n := testutil.ToFloat64(w.server.metrics.slow.WithLabelValues("response")); n != 1 {
		t.Errorf("%v slow answers counted", n)
	}
}

func TestASlowButSteadyClientIsServed(t *testing.T) {
	cfg := impatient()
	cfg.MinBytesPerSecond, cfg.TransferTimeout = 100, time.Minute
	w := dial(t, cfg, echo)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, heartbeat(3, string(make([]byte, 400))), 9)
	for len(frame) > 0 {
		n := min(20, len(frame))
		if _, err := w.nc.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		frame = frame[n:]
		time.Sleep(20 * time.Millisecond) // 1000 bytes a second, 400 ms in total
	}
	if id, _ := w.receive(); id != 9 {
		t.Errorf("answer %d", id)
	}
}

// A client disconnects while its connection is not being read: its request waits for something
// that never happens, and more requests are queued behind it.
func TestTheConnectionEndsWhenItsClientGoesAndItsRequestsGoOn(t *testing.T) {
	cfg := DefaultServerConfig()
	cfg.Outstanding = 1
	settle, settled := make(chan struct{}), make(chan struct{}, 100)
	w := dial(t, cfg, handlerOf(func(_ context.Context, r *Request, reply func(Response)) {
		go func() {
			<-settle
			reply(Response{Message: answer(r).Message, Release: func() { settled <- struct{}{} }})
		}()
	}))
	for id := range int32(10) {
		w.send(heartbeat(3, "g"), id)
	}
	for w.server.metrics.in == nil || w.gate.InUse() < 3<<10 { // one at the writer, one in the queue, one before it
		time.Sleep(time.Millisecond)
	}
	w.nc.Close()
	select {
	case <-w.over:
	case <-time.After(20 * time.Second):
		t.Fatal("requests of a disconnected client hold the connection")
	}
	if w.gate.InUse() == 0 {
		t.Error("frames of requests in progress were released")
	}
	close(settle)
	for range 3 {
		<-settled
	}
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(w.server.metrics.dropped); n != 3 {
		t.Errorf("%v responses were counted as dropped, want 3", n)
	}
}

// A client that closes its side still gets the responses that are ready within a second.
func TestAHalfClosedClientGetsItsAnswers(t *testing.T) {
	w := dial(t, DefaultServerConfig(), handlerOf(func(_ context.Context, r *Request, reply func(Response)) {
		go func() {
			time.Sleep(50 * time.Millisecond)
			reply(answer(r))
		}()
	}))
	w.send(heartbeat(3, "g"), 1)
	w.send(heartbeat(3, "g"), 2)
	if err := w.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.receive()
	if id, _ := w.receive(); id != 2 {
		t.Errorf("answer %d", id)
	}
	if _, err := w.nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
}
