package e2e

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	sluice "github.com/sluicemq/sluice/sdk/go"
)

// An SDK producer continues by itself after a kill -9 of the broker. A group reads each record once, in
// order per key.
func TestSDKGoesOnOverAKill(t *testing.T) {
	b := newBroker(t)
	b.createTopic("orders", 4)
	cfg := sluice.Config{Brokers: []string{b.addr}, DataDirectory: b.dir}
	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t)
	const n = 20_000
	var acked atomic.Int64
	for i := range n {
		r := &sluice.Record{Topic: "orders", Key: fmt.Appendf(nil, "k%d", i%16), Value: fmt.Append(nil, i)}
		p.Produce(ctx, r, func(_ *sluice.Record, err error) {
			if err != nil {
				t.Error(err)
			}
			acked.Add(1)
		})
		if i == n/2 {
			b.kill()
			b.start()
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); acked.Load() != n || s.Dialer.Handshakes < 2 {
		t.Errorf("%d records were settled; stats %+v", acked.Load(), s)
	}
	cc := sluice.DefaultConsumerConfig()
	cc.Topics, cc.Group = []string{"orders"}, "billing"
	c, err := sluice.NewConsumer(cfg, cc)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{} // by key
	seen := 0
	for r, err := range c.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(string(r.Value), &i); err != nil {
			t.Fatal(err)
		}
		if was, ok := last[string(r.Key)]; ok && i != was+16 || !ok && i >= 16 {
			t.Fatalf("key %s: record %d after %d", r.Key, i, was)
		}
		last[string(r.Key)] = i
		if seen++; seen == n {
			c.Mark(r)
			break
		}
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Records != n || s.Dialer.Connections != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Without the broker's CA, a consumer, a group member and a producer fail promptly with ErrUntrusted.
func TestSDKWithoutTheCA(t *testing.T) {
	b := newBroker(t)
	b.createTopic("orders", 1)
	cfg := sluice.Config{Brokers: []string{b.addr}, CA: x509.NewCertPool()}
	for _, group := range []string{"", "billing"} {
		cc := sluice.DefaultConsumerConfig()
		cc.Topics, cc.Group = []string{"orders"}, group
		c, err := sluice.NewConsumer(cfg, cc)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, err := range c.Records(deadline(t)) {
			if !errors.Is(err, sluice.ErrUntrusted) {
				t.Errorf("consume: %v", err)
			}
			break
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("it took %v to know", d)
		}
		_ = c.Close(deadline(t)) // there is no group to leave
	}
	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ProduceSync(deadline(t), &sluice.Record{Topic: "orders", Value: []byte("x")}); !errors.Is(err, sluice.ErrUntrusted) {
		t.Errorf("produce: %v", err)
	}
	if err := p.Close(deadline(t)); err != nil {
		t.Error(err)
	}
}
