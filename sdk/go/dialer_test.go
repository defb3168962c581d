package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func within(t house) context.Context {
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

// A client must notice a restart of the broker by the first packet from the new process, not by
// a timeout.
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
		t.Errorf("%d connections were opened, want one before and one after", n)
	}
}

func newDialer(t testing.TB, cfg sluice.Config) *sluice.Dialer {
	t.Helper()
	d, err := sluice.NewDialer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestStreamsShareConnections(t *testing.T) {
	for _, connections := range []int{1, 3} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			f := newFront(t, certs.ClientAuthNone)
			cfg := f.config()
			cfg.Connections = connections
			d := newDialer(t, cfg)
			var wg sync.WaitGroup
			for range 12 { // concurrently: they must wait for the same handshakes
				wg.Go(func() {
					c, err := d.DialContext(within(t), "tcp", f.addr)
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { _ = c.Close() })
					if _, err := c.Write([]byte{0}); err != nil { // makes the stream visible to the broker
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for range 12 {
				<-f.arrived
			}
			if s := d.Stats(); s.Connections != int64(connections) || s.Streams != 12 || s.Handshakes != int64(connections) || s.BytesWritten != 12 {
				t.Errorf("stats %+v", s)
			}
			if n := f.conns.Load(); n != int64(connections) {
				t.Errorf("the broker saw %d connections", n)
			}
		})
	}
}

func TestCloseEndsStreamsAndConnections(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	d := newDialer(t, f.config())
	c, err := d.DialContext(within(t), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Error("a read on a closed connection succeeded")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.DialContext(within(t), "tcp", f.addr); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
	if s := d.Stats(); s.Connections != 0 || s.Streams != 0 {
		t.Errorf("stats %+v", s)
	}
}

// While the broker is down, records wait; when it is back, each arrives once and in order.
func TestRecordsOutliveAnOutage(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone, "orders")
	p := newProducer(t, f.config(), func(c *sluice.ProducerConfig) { c.Topic, c.Linger = "orders", 0 })
	ctx := within(t)
	const n = 2000
	produce := func(from, to int) {
		for i := from; i < to; i++ {
			p.Produce(ctx, &sluice.Record{Key: []byte("same"), Value: fmt.Append(nil, i)}, func(_ *sluice.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	flush := func() {
		t.Helper()
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	produce(0, n/4)
	flush() // from here on there is a connection to lose
	produce(n/4, n/2)
	f.halt()
	produce(n/2, 3*n/4)
	if _, err := newDialer(t, f.config()).DialContext(ctx, "tcp", f.addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a broker that is down: %v", err)
	}
	f.start()
	produce(3*n/4, n)
	flush()
	for i, r := range read(t, newConsumer(t, f.config(), func(c *sluice.ConsumerConfig) { c.Topics = []string{"orders"} }), n) {
		if string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, r.Value)
		}
	}
	if s := p.Stats().Dialer; s.Lost == 0 || s.Handshakes < 2 {
		t.Errorf("no connection was lost: %+v", s)
	}
}

func TestDialByName(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	_, port, err := net.SplitHostPort(f.addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newDialer(t, f.config()).DialContext(within(t), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAConnectionEndsWithItsLastClient(t *testing.T) {
	f := newFront(t, certs.ClientAuthNone)
	opts, err := sluice.ClientOpts(f.config())
	if err != nil {
		t.Fatal(err)
	}
	one, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	two, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, cl := range []*kgo.Client{one, two} {
		if err := cl.Ping(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	one.Close()
	if err := two.Ping(within(t)); err != nil {
		t.Error(err)
	}
	two.Close()
	if n := f.conns.Load(); n != 1 {
		t.Errorf("%d connections for two clients of one dialer", n)
	}
}
