package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

// example implements the part of testing.TB that a test broker needs.
type example struct{ ends []func() }

func (*example) Helper()            {}
func (*example) Fatal(v ...any)     { log.Fatal(v...) }
func (e *example) Cleanup(f func()) { e.ends = append(e.ends, f) }

func (e *example) TempDir() string {
	dir, err := os.MkdirTemp("", "sluice-example-")
	if err != nil {
		log.Fatal(err)
	}
	e.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startBroker starts a broker for an example, with one topic.
func startBroker(topic string) (cfg sluice.Config, stop func()) {
	e := &example{}
	f := newFront(e, certs.ClientAuthNone, topic)
	return f.config(), func() {
		for _, end := range slices.Backward(e.ends) {
			end()
		}
	}
}

func ExampleProducer() {
	cfg, stop := startBroker("orders") // Brokers: 127.0.0.1:9092, CAFile: "ca.crt"
	defer stop()
	ctx := context.Background()

	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		log.Fatal(err)
	}
	for i := range 3 {
		r := &sluice.Record{Topic: "orders", Key: []byte("customer 7"), Value: fmt.Appendf(nil, "order %d", i)}
		p.Produce(ctx, r, func(r *sluice.Record, err error) {
			if err != nil {
				log.Print(err)
				return
			}
			fmt.Printf("%s has offset %d\n", r.Value, r.Offset)
		})
	}
	if err := p.Close(ctx); err != nil { // sends what is buffered
		log.Fatal(err)
	}
	// Output:
	// order 0 has offset 0
	// order 1 has offset 1
	// order 2 has offset 2
}

func ExampleProducer_Send() {
	cfg, stop := startBroker("orders")
	defer stop()
	ctx := context.Background()

	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	sent := p.Send(ctx, &sluice.Record{Topic: "orders", Value: []byte("one apple")})
	// ... other work ...
	r, err := sent.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is stored at offset %d\n", r.Value, r.Offset)
	// Output: one apple is stored at offset 0
}

func ExampleConsumer() {
	cfg, stop := startBroker("orders")
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	produceOrders(ctx, cfg, 3)

	cc := sluice.DefaultConsumerConfig()
	cc.Topics, cc.Group = []string{"orders"}, "billing"
	c, err := sluice.NewConsumer(cfg, cc)
	if err != nil {
		log.Fatal(err)
	}
	for r, err := range c.Records(ctx) {
		if err != nil {
			log.Print(err) // concerns one partition; the others continue
			continue
		}
		fmt.Printf("%s\n", r.Value)
		if string(r.Value) == "order 2" {
			c.Mark(r) // the loop is left at this record
			break
		}
	}
	if err := c.Close(ctx); err != nil { // commits, and leaves the group
		log.Fatal(err)
	}
	// Output:
	// order 0
	// order 1
	// order 2
}

// Without a group, chosen partitions are read from any offset.
func ExampleConsumer_Seek() {
	cfg, stop := startBroker("orders")
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	partition := produceOrders(ctx, cfg, 10)

	cc := sluice.DefaultConsumerConfig()
	cc.Partitions = map[string][]int32{"orders": {partition}}
	c, err := sluice.NewConsumer(cfg, cc)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	if err := c.Seek("orders", partition, 7); err != nil {
		log.Fatal(err)
	}
	for r, err := range c.Records(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", r.Offset, r.Value)
		if r.Offset == 9 {
			break
		}
	}
	// Output:
	// 7: order 7
	// 8: order 8
	// 9: order 9
}

// Any franz-go client can use QUIC with these options.
func ExampleClientOpts() {
	cfg, stop := startBroker("orders")
	defer stop()
	ctx := context.Background()

	opts, err := sluice.ClientOpts(cfg)
	if err != nil {
		log.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		log.Fatal(err)
	}
	defer cl.Close()
	topics, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("orders has %d partitions\n", len(topics["orders"].Partitions))
	// Output: orders has 3 partitions
}

func ExampleProducer_Ping() {
	cfg, stop := startBroker("orders")
	defer stop()
	ca, remove := anotherAuthority()
	defer remove()
	cfg.CAFile = ca
	ctx := context.Background()

	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	if err := p.Ping(ctx); errors.Is(err, sluice.ErrUntrusted) {
		fmt.Println("this is not our broker")
	}
	// Output: this is not our broker
}

// produceOrders produces orders of one customer and returns their partition.
func produceOrders(ctx context.Context, cfg sluice.Config, n int) (partition int32) {
	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	for i := range n {
		r := &sluice.Record{Topic: "orders", Key: []byte("customer 7"), Value: fmt.Appendf(nil, "order %d", i)}
		if err := p.ProduceSync(ctx, r); err != nil {
			log.Fatal(err)
		}
		partition = r.Partition
	}
	return partition
}

// anotherAuthority returns the file of an authority that has signed nothing here.
func anotherAuthority() (file string, remove func()) {
	dir, err := os.MkdirTemp("", "sluice-example-")
	if err != nil {
		log.Fatal(err)
	}
	files, err := certs.Ensure(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	return files.CA, func() { os.RemoveAll(dir) }
}
