package sluice_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestClientOptsMakeAKgoClientSpeakQUIC(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	opts, err := sluice.ClientOpts(f.config())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("orders"), kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(within(t), kgo.StringRecord("one"), kgo.StringRecord("two")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for n < 2 {
		fs := cl.PollFetches(within(t))
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		n += fs.NumRecords()
	}
	if c, s := f.conns.Load(), f.streams.Load(); c != 1 || s < 3 {
		t.Errorf("%d streams on %d connections, want several on one", s, c)
	}
}

func TestDialOfAClosedPortFailsAtOnce(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	f.halt()
	d, err := sluice.NewDialer(f.config())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	began := time.Now()
	_, err = d.DialContext(within(t), "tcp", f.addr)
	if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(began) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// A client must notice that the broker was restarted from the first packet that
// the new process answers, not from a timeout.
func TestClientGoesOnAfterARestart(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	opts, err := sluice.ClientOpts(f.config())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("orders"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(within(t), kgo.StringRecord("before")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f.halt()
	f.start()
	began := time.Now()
	if err := cl.ProduceSync(within(t), kgo.StringRecord("after")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v to notice the restart", d)
	}
	if n := f.conns.Load(); n != 2 {
		t.Errorf("%d connections were made, want one before and one after", n)
	}
}
