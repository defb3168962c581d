package echo

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/certs"
)

func TestEcho(t *testing.T) {
	dir := t.TempDir()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := u.LocalAddr().String()
	u.Close()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(stop)
	ready := make(chan struct{})
	wg.Go(func() {
		if err := Serve(ctx, addr, dir, func() { close(ready) }); err != nil {
			t.Error(err)
		}
	})
	<-ready
	for _, mode := range []Mode{Ack, Full} {
		o, err := Run(ctx, Config{Addr: addr, CAFile: certs.In(dir).CA, Mode: mode, FrameBytes: 10_000, Streams: 3, Window: 5,
			Warmup: 20 * time.Millisecond, Duration: 300 * time.Millisecond, RecordBytes: 100, Share: 0.5}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Half of a frame's bytes are 50 records.
		if o.Acked < 50 || o.Produce.Count == 0 || o.Produce.P50 <= 0 || o.RecordsPerS <= 0 {
			t.Errorf("mode %c: %d records, %d latencies, p50 %f", mode, o.Acked, o.Produce.Count, o.Produce.P50)
		}
		if frames := float64(o.Acked) / 50; float64(o.Produce.Count) > frames*1.2+20 {
			t.Errorf("mode %c: %d latencies of %.0f frames", mode, o.Produce.Count, frames)
		}
	}
	if _, err := Run(ctx, Config{Addr: addr, CAFile: certs.In(dir).CA, FrameBytes: 3, Streams: 1, Window: 1}, nil); err == nil {
		t.Error("a frame with no room for its time was taken")
	}
	if _, err := Run(ctx, Config{Addr: addr, CAFile: filepath.Join(dir, "no.crt"), FrameBytes: 100, Streams: 1, Window: 1}, nil); err == nil {
		t.Error("no CA, and it connected")
	}
}

func TestReadFrame(t *testing.T) {
	whole := append(binary.BigEndian.AppendUint32(nil, 3), 'a', 'b', 'c')
	got, err := readFrame(bytes.NewReader(whole), nil)
	if err != nil || !bytes.Equal(got, whole) {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := readFrame(bytes.NewReader(nil), nil); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for cut := 1; cut < len(whole); cut++ {
		if _, err := readFrame(bytes.NewReader(whole[:cut]), nil); err != io.ErrUnexpectedEOF {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	if _, err := readFrame(bytes.NewReader([]byte{255, 255, 255, 255}), nil); err == nil {
		t.Error("a frame of 4 GiB was taken")
	}
}
