package jetstream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluicemq/sluice/bench/load"
)

// NewConsumer returns an ordered consumer with a connection of its own.
func (d *Driver) NewConsumer(ctx context.Context, from load.Start, share, parts int, got func([]byte)) (load.Consumer, error) {
	c, err := d.connect()
	if err != nil {
		return nil, err
	}
	cons, err := d.ordered(ctx, c, from, share, parts)
	if err != nil {
		c.Close()
		return nil, err
	}
	cc, err := cons.Consume(func(m jetstream.Msg) { got(m.Data()) }, jetstream.PullMaxMessages(pullMessages))
	if err != nil {
		c.Close()
		return nil, err
	}
	return &consumer{conn: c, consuming: cc}, nil
}

// pullMessages is how many messages a consumer asks for ahead.
const pullMessages = 4096

func (d *Driver) ordered(ctx context.Context, c *nats.Conn, from load.Start, share, parts int) (jetstream.Consumer, error) {
	js, err := jetstream.New(c)
	if err != nil {
		return nil, err
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	switch parts {
	case 1:
	case d.w.Consumers:
		cfg.FilterSubjects = []string{fmt.Sprintf("%s.%d.>", d.name, share)}
	default:
		return nil, fmt.Errorf("jetstream: %d consumers share %d parts", d.w.Consumers, parts)
	}
	if from == load.FromEnd {
		info, err := d.stream.Info(ctx)
		if err != nil {
			return nil, err
		}
		cfg.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		cfg.OptStartSeq = info.State.LastSeq + 1
	}
	return js.OrderedConsumer(ctx, d.name, cfg)
}

type consumer struct {
	conn      *nats.Conn
	consuming jetstream.ConsumeContext
}

func (c *consumer) Close() {
	c.consuming.Stop()
	<-c.consuming.Closed()
	c.conn.Close()
}
