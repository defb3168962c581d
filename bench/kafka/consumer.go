package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/bench/load"
)

// NewConsumer opens a client that reads each parts-th partition.
func (d *Driver) NewConsumer(ctx context.Context, from load.Start, share, parts int, got func([]byte)) (load.Consumer, error) {
	offsets := make(map[int32]kgo.Offset)
	for p := share; p < d.w.Partitions; p += parts {
		offsets[int32(p)] = kgo.NewOffset().AtStart()
	}
	if from == load.FromEnd {
		ends, err := kadm.NewClient(d.admin).ListEndOffsets(ctx, d.topic)
		if err != nil {
			return nil, err
		}
		if err := ends.Error(); err != nil {
			return nil, err
		}
		for p := range offsets {
			end, _ := ends.Lookup(d.topic, p)
			offsets[p] = kgo.NewOffset().At(end.Offset)
		}
	}
	opts := append([]kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.topic: offsets})}, d.opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	c := &consumer{client: client}
	ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.wg.Go(func() { c.run(ctx, got) })
	return c, nil
}

type consumer struct {
	client *kgo.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

func (c *consumer) run(ctx context.Context, got func([]byte)) {
	for ctx.Err() == nil {
		c.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got(r.Value) })
	}
}

func (c *consumer) Close() {
	c.stop()
	c.wg.Wait()
	c.client.Close()
}
