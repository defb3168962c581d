package tcp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/ingress/kafka"
)

// full is a listener on a system that is temporarily out of file descriptors.
type full struct {
	net.Listener
	fails int
}

func (l *full) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestServeOutlivesALackOfFileDescriptors(t *testing.T) {
	l, err := Listen(Config{Address: "127.0.0.1:0"}, func() uint64 { return 1 }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	l.ln = &full{l.ln, 4}
	over := make(chan error, 1)
	go func() {
		over <- l.Serve(context.Background(), func(_ context.Context, nc net.Conn, _ kafka.ConnInfo) error {
			_, err := io.WriteString(nc, "welcome")
			nc.Close()
			return err
		})
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if b, err := io.ReadAll(nc); err != nil || string(b) != "welcome" {
		t.Errorf("%q, %v", b, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}
