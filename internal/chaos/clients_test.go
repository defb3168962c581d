//go:build chaos && linux && amd64

package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/chaos/history"
	"github.com/sluicemq/sluice/internal/chaos/traffic"
)

const (
	appenders = 4
	readers   = 2
	pause     = 40 * time.Millisecond // between two operations of a client
)

// clients append to and read one partition, one operation at a time each, and record what they
// see.
type clients struct {
	cfg    traffic.Config
	record *history.Recorder
	values atomic.Int64
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

func startClients(cfg traffic.Config) (*clients, error) {
	c := &clients{cfg: cfg, record: history.NewRecorder()}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	for id := range appenders + 2*readers {
		opts := append(cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
		run := c.append
		if id >= appenders+readers {
			run = c.end
		} else if id >= appenders {
			run = c.read
			opts = append(opts, kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumePartitions(
				map[string]map[int32]kgo.Offset{cfg.Topic: {0: kgo.NewOffset().AtStart()}}))
		}
		client, err := kgo.NewClient(opts...)
		if err != nil {
			c.stop()
			c.wg.Wait()
			return nil, err
		}
		c.wg.Go(func() {
			defer client.Close()
			for ctx.Err() == nil {
				run(ctx, id, client)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	return c, nil
}

// append appends one record. If it has no outcome before the end, that is not known.
func (c *clients) append(ctx context.Context, id int, client *kgo.Client) {
	value := c.values.Add(1)
	r := &kgo.Record{Topic: c.cfg.Topic, Value: binary.BigEndian.AppendUint64(nil, uint64(value))}
	op, done := c.record.Call(id), make(chan error, 1)
	client.Produce(context.Background(), r, func(_ *kgo.Record, err error) { done <- err })
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		op.MaybeAppended(value)
		return
	}
	op.Appended(value, r.Offset)
}

// read polls once. A record may have been fetched before the call: then it was there before.
func (c *clients) read(ctx context.Context, id int, client *kgo.Client) {
	op := c.record.Call(id)
	client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { op.Got(r.Offset, valueOf(r)) })
}

// valueOf returns -1 for what no client wrote.
func valueOf(r *kgo.Record) int64 {
	if len(r.Value) != 8 {
		return -1
	}
	return int64(binary.BigEndian.Uint64(r.Value))
}

// end asks for the end of the log. A failure tells nothing.
func (c *clients) end(ctx context.Context, id int, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	op := c.record.Call(id)
	if end, err := endOf(ctx, client, c.cfg.Topic); err == nil {
		op.GotEnd(end)
	}
}

func endOf(ctx context.Context, client *kgo.Client, topic string) (int64, error) {
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, listed.Error()); err != nil {
		return 0, err
	}
	o, ok := listed.Lookup(topic, 0)
	if !ok {
		return 0, errors.New("the partition has no end")
	}
	return o.Offset, nil
}

// judge ends the clients, reads the log and checks the history.
func (c *clients) judge(ctx context.Context) error {
	c.stop()
	c.wg.Wait()
	opts := append(c.cfg.Options(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.cfg.Topic: {0: kgo.NewOffset().AtStart()}}))
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	end, err := endOf(ctx, client, c.cfg.Topic)
	if err != nil {
		return err
	}
	var values []int64
	for int64(len(values)) < end {
		f := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("the history's log was not read to its end: %w", errors.Join(ctx.Err(), f.Err()))
		}
		f.EachRecord(func(r *kgo.Record) {
			if int64(len(values)) < end {
				values = append(values, valueOf(r))
			}
		})
	}
	c.record.Final(values)
	return c.record.Check(history.Prefix, time.Minute)
}
