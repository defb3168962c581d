package traffic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/chaos/check"
)

// reader reads all partitions during a run, from the start.
type reader struct {
	client *kgo.Client
	stop   context.CancelFunc
	wg     sync.WaitGroup
	again  error // an offset that was read twice, with different records
}

func startReader(cfg Config, ledger *check.Ledger) (*reader, error) {
	client, err := consume(cfg, ledger.Partitions())
	if err != nil {
		return nil, err
	}
	r := &reader{client: client}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.wg.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
				if ledger.Seen(rec.Partition, rec.Offset, rec.Value) && r.again == nil {
					r.again = fmt.Errorf("partition %d: readers got two different records at offset %d", rec.Partition, rec.Offset)
				}
			})
		}
	})
	return r, nil
}

func (r *reader) close() error {
	r.stop()
	r.wg.Wait()
	r.client.Close()
	return r.again
}

// consume opens a client that reads a topic from its start. A reset never skips records: a
// reader that falls behind the start or beyond the end begins again at the start.
func consume(cfg Config, partitions int) (*kgo.Client, error) {
	at := make(map[int32]kgo.Offset)
	for p := range int32(partitions) {
		at[p] = kgo.NewOffset().AtStart()
	}
	opts := append(cfg.Options(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{cfg.Topic: at}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchMinBytes(1))
	return kgo.NewClient(opts...)
}

// ReadBack reads the whole log and compares it with the ledger, which must not change any more.
func ReadBack(ctx context.Context, cfg Config, ledger *check.Ledger) (check.Result, error) {
	var result check.Result
	client, err := consume(cfg, ledger.Partitions())
	if err != nil {
		return result, err
	}
	defer client.Close()
	ends, err := ends(ctx, client, cfg.Topic, ledger.Partitions())
	if err != nil {
		return result, err
	}
	verifiers := make([]*check.Verifier, ledger.Partitions())
	left := 0
	for p := range verifiers {
		verifiers[p] = ledger.Verify(int32(p), &result)
		if ends[p] > 0 {
			left++
		}
	}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return result, fmt.Errorf("the log was not read to its end: %w", errors.Join(ctx.Err(), fetches.Err()))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < ends[r.Partition] {
				verifiers[r.Partition].Record(r.Offset, r.Value)
			}
			if r.Offset == ends[r.Partition]-1 {
				left--
			}
		})
	}
	for _, v := range verifiers {
		v.End()
	}
	return result, nil
}

// ends returns the end offset of each partition.
func ends(ctx context.Context, client *kgo.Client, topic string, partitions int) ([]int64, error) {
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, listed.Error()); err != nil {
		return nil, fmt.Errorf("list the ends of the log: %w", err)
	}
	out := make([]int64, partitions)
	for p := range out {
		o, ok := listed.Lookup(topic, int32(p))
		if !ok {
			return nil, fmt.Errorf("partition %d has no end", p)
		}
		out[p] = o.Offset
	}
	return out, nil
}
