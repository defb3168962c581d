package jetstream

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluicemq/sluice/bench/load"
)

// NewConsumer opens a connection with an ordered consumer on each stream that has partitions of
// the share.
func (d *Driver) NewConsumer(ctx context.Context, from load.Start, share, parts int, got func([]byte)) (load.Consumer, error) {
	conn, err := d.connect()
	if err != nil {
		return nil, err
	}
	c := &consumer{conn: conn}
	for i := range d.streams {
		if !d.has(i, share, parts) {
			continue
		}
		if err := c.consume(ctx, d, i, from, share, parts, got); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// has reports whether a stream has a partition of a share.
func (d *Driver) has(stream, share, parts int) bool {
	for p := stream; p < d.w.Partitions; p += len(d.streams) {
		if p%parts == share {
			return true
		}
	}
	return false
}

// pullMessages is how many messages a consumer requests ahead.
const pullMessages = 4096

type consumer struct {
	conn      *nats.Conn
	consuming []jetstream.ConsumeContext
	mu        sync.Mutex // messages of one stream at a time
}

func (c *consumer) consume(ctx context.Context, d *Driver, stream int, from load.Start, share, parts int, got func([]byte)) error {
	js, err := jetstream.New(c.conn)
	if err != nil {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	switch parts {
	case 1:
	case d.w.Consumers:
		cfg.FilterSubjects = []string{fmt.Sprintf("%s.%d.>", d.stream(stream), share)}
	default:
		return fmt.Errorf("jetstream: %d consumers share %d parts", d.w.Consumers, parts)
	}
	if from == load.FromEnd {
		info, err := d.streams[stream].Info(ctx)
		if err != nil {
			return err
		}
		cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		cfg.OptStartSeq = info.State.LastSeq + 1
	}
	cons, err := js.OrderedConsumer(ctx, d.stream(stream), cfg)
	if err != nil {
		return err
	}
	cc, err := cons.Consume(func(m jetstream.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		got(m.Data())
	}, jetstream.PullMaxMessages(pullMessages))
	if err == nil {
		c.consuming = append(c.consuming, cc)
	}
	return err
}

func (c *consumer) Close() {
	for _, cc := range c.consuming {
		cc.Stop()
		<-cc.Closed()
	}
	c.conn.Close()
}
