package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/sdk/go"
)

const (
	topic   = "earthquakes"
	group   = "seismologists"
	members = 2
)

// client opens a client of the broker over QUIC, with its own connection.
func (b *broker) client(opts ...kgo.Opt) (*kgo.Client, error) {
	quic, err := sluice.ClientOpts(sluice.Config{Brokers: []string{b.addr}, Transport: sluice.QUIC, DataDirectory: b.dir, ClientID: "demo"})
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(quic, opts...)...)
}

func (b *broker) createTopic(ctx context.Context, partitions int32) error {
	cl, err := b.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	forever := "-1" // the events are old
	configs := map[string]*string{"retention.ms": &forever}
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, -1, configs, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// produce produces the data set rounds times and waits until all records are acknowledged or
// have failed. acked is called after each acknowledgement with the number acknowledged so far.
// It waits for a broker that goes away and comes back; the producer is idempotent, so nothing
// is stored twice.
func (b *broker) produce(ctx context.Context, l *ledger, rounds int, acked func(int)) error {
	cl, err := b.client(kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(2*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(20_000),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer cl.Close()
	for range rounds * len(l.data.events) {
		n, r := l.record(topic)
		cl.Produce(ctx, r, func(r *kgo.Record, err error) { acked(l.acknowledge(n, r, err)) })
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("not everything was acknowledged in time: %w", err)
	}
	return l.verifyAcks()
}

// consume makes the members of the group read and commit what is unread, and returns the time
// it took. It starts once each member has partitions, so that rebalances do not make records be
// read twice.
func (b *broker) consume(ctx context.Context, l *ledger) (took time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shares := newShares(l.partitions)
	var clients []*kgo.Client
	defer func() {
		for _, cl := range clients {
			cl.Close()
		}
	}()
	for m := range members {
		cl, err := b.client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.RangeBalancer()), kgo.HeartbeatInterval(200*time.Millisecond),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) { shares.set(m, len(a[topic])) }),
			kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { shares.set(m, 0) }))
		if err != nil {
			return 0, err
		}
		clients = append(clients, cl)
	}
	select {
	case <-shares.even:
	case <-ctx.Done():
		return 0, fmt.Errorf("the partitions were not shared out to %d members in time: %w", members, context.Cause(ctx))
	}
	began := time.Now()
	var wg sync.WaitGroup
	for _, cl := range clients {
		wg.Go(func() {
			if err := read(ctx, cl, l, func() { cancel(errDone) }); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	took = time.Since(began)
	if cause := context.Cause(ctx); !errors.Is(cause, errDone) {
		return took, fmt.Errorf("%d records were not read: %w", l.unread(), cause)
	}
	return took, commit(context.WithoutCancel(ctx), clients)
}

// commit commits what the members have read.
func commit(ctx context.Context, clients []*kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, cl := range clients {
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			return fmt.Errorf("commit offsets: %w", err)
		}
	}
	return nil
}

// errDone means that everything was read.
var errDone = errors.New("all was read")

// read checks what a member receives, until ctx is done.
func read(ctx context.Context, cl *kgo.Client, l *ledger, done func()) error {
	for l.unread() > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil // the cause says why
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if err := l.check(it.Next()); err != nil {
				return err
			}
		}
	}
	done()
	return nil
}

// extra returns how many more records the topic holds than were produced: 0 if none was stored
// twice.
func (b *broker) extra(ctx context.Context, l *ledger) (int64, error) {
	cl, err := b.client()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("list end offsets: %w", err)
	}
	made, _ := l.counts()
	extra := -int64(made)
	for _, e := range ends[topic] {
		if e.Err != nil {
			return 0, fmt.Errorf("end offset of partition %d: %w", e.Partition, e.Err)
		}
		extra += e.Offset
	}
	return extra, nil
}

// shares tracks how many partitions each member has.
type shares struct {
	partitions int
	mu         sync.Mutex
	of         [members]int
	even       chan struct{} // closed once all partitions are assigned, some to each member
	once       sync.Once
}

func newShares(partitions int) *shares {
	return &shares{partitions: partitions, even: make(chan struct{})}
}

func (s *shares) set(member, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[member] = n
	sum := 0
	for _, n := range s.of {
		if n == 0 {
			return
		}
		sum += n
	}
	if sum == s.partitions {
		s.once.Do(func() { close(s.even) })
	}
}
