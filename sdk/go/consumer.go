package sluice

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer reads records, alone or as a member of a group. All methods but Records may be
// called concurrently; only one loop over Records may run at a time.
type Consumer struct {
	cfg     ConsumerConfig
	cl      *kgo.Client
	dialer  *Dialer
	refused interrupt

	mu      sync.Mutex
	pending []*Record                 // polled, not yet yielded
	owned   map[string]map[int32]bool // partitions being read

	records, bytes, errs atomic.Int64
}

// NewConsumer returns a consumer. It starts to fetch, or to join its group, in the background.
func NewConsumer(cfg Config, c ConsumerConfig) (*Consumer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, err := NewDialer(cfg)
	if err != nil {
		return nil, err
	}
	consumer := &Consumer{cfg: c, dialer: d, owned: make(map[string]map[int32]bool)}
	d.refusals.listen(consumer.refused.refused)
	opts := c.opts()
	if c.Group != "" {
		opts = append(opts, kgo.OnPartitionsAssigned(consumer.assigned), kgo.OnPartitionsRevoked(consumer.revoked), kgo.OnPartitionsLost(consumer.lost))
	}
	if consumer.cl, err = kgo.NewClient(append(opts, d.clientOpts()...)...); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return consumer, nil
}

// Records returns the records as they arrive, in order within a partition, until ctx ends or
// the consumer is closed. An error is about one partition (*PartitionError) or about the
// connection. It is yielded without a record, and the loop may continue: whatever can be
// retried is. A broker that is unusable until something is changed (ErrUntrusted,
// ErrCertificateRefused, ErrNotSluice) is reported at once and after each further attempt. A
// loop may be left and resumed by another one.
//
// Unless ManualMarks is set, asking for the next record marks the previous one as processed, to
// be committed. The record at which the loop is left is not marked: call Mark if it was
// processed, or the group will read it again.
func (c *Consumer) Records(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for {
			r := c.next()
			if r == nil {
				if !c.poll(ctx, yield) {
					return
				}
				continue
			}
			c.records.Add(1)
			c.bytes.Add(int64(len(r.Key) + len(r.Value)))
			if !yield(r, nil) {
				return
			}
			if !c.cfg.ManualMarks {
				c.cl.MarkCommitRecords(r)
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// next returns the next polled record.
func (c *Consumer) next() *Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return nil
	}
	r := c.pending[0]
	c.pending[0] = nil
	c.pending = c.pending[1:]
	return r
}

// poll waits for records and yields errors; false ends the loop.
func (c *Consumer) poll(ctx context.Context, yield func(*Record, error) bool) bool {
	wait, stop := context.WithCancel(ctx)
	defer stop()
	c.refused.begin(stop)
	fs := c.cl.PollRecords(wait, c.cfg.PollRecords)
	refused := c.refused.end()
	if fs.IsClientClosed() || ctx.Err() != nil && fs.NumRecords() == 0 {
		return false
	}
	c.mu.Lock()
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		c.pending = append(c.pending, p.Records...)
		if c.cfg.Group == "" {
			c.own(p.Topic, p.Partition)
		}
	})
	c.mu.Unlock()
	if refused != nil {
		c.errs.Add(1)
		if !yield(nil, refused) {
			return false
		}
	}
	for _, e := range fs.Errors() {
		if ctx.Err() != nil {
			return false
		}
		if e.Topic == "" && wait.Err() != nil && errors.Is(e.Err, wait.Err()) {
			continue // interrupted by us
		}
		c.errs.Add(1)
		err := e.Err
		if e.Topic != "" {
			err = &PartitionError{e.Topic, e.Partition, e.Err}
		}
		if !yield(nil, err) {
			return false
		}
	}
	return true
}

// drop discards the polled records of partitions.
func (c *Consumer) drop(from func(topic string, p int32) bool) {
	c.pending = slices.DeleteFunc(c.pending, func(r *Record) bool { return from(r.Topic, r.Partition) })
}

// Pause stops fetching from partitions of a topic until Resume. Records fetched before are
// still returned.
func (c *Consumer) Pause(topic string, partitions ...int32) {
	c.cl.PauseFetchPartitions(map[string][]int32{topic: partitions})
}

// Resume resumes fetching after Pause.
func (c *Consumer) Resume(topic string, partitions ...int32) {
	c.cl.ResumeFetchPartitions(map[string][]int32{topic: partitions})
}

// Ping checks that a broker responds.
func (c *Consumer) Ping(ctx context.Context) error { return c.cl.Ping(ctx) }

// Close commits what is marked, leaves the group, so that other members take over at once, and
// closes the connections. The first two steps are limited by ctx, and to a second if a broker
// is unusable, since it may be the group's coordinator.
func (c *Consumer) Close(ctx context.Context) error {
	refused := c.dialer.refusals.any() != nil
	if refused {
		bound, cancel := context.WithTimeout(ctx, lingerTime)
		defer cancel()
		ctx = bound
	}
	var err error
	if c.cfg.Group != "" {
		err = c.cl.CommitMarkedOffsets(ctx)
		if c.cfg.InstanceID == "" {
			err = errors.Join(err, c.cl.LeaveGroupContext(ctx))
		}
	}
	if refused {
		c.dialer.abandon() // or kgo would keep trying to join
	}
	c.cl.Close()
	return errors.Join(err, c.dialer.Close())
}

// Client returns the underlying franz-go client, for what this API does not offer.
func (c *Consumer) Client() *kgo.Client { return c.cl }

// ConsumerStats are totals since the consumer was created; Buffered is the current value.
type ConsumerStats struct {
	Records, Bytes int64 // yielded to loops; bytes of keys and values
	Errors         int64
	Buffered       int64 // records fetched, not yet yielded
	Dialer         DialerStats
}

// Stats returns the consumer's statistics.
func (c *Consumer) Stats() ConsumerStats {
	c.mu.Lock()
	pending := len(c.pending)
	c.mu.Unlock()
	return ConsumerStats{Records: c.records.Load(), Bytes: c.bytes.Load(), Errors: c.errs.Load(),
		Buffered: int64(pending) + c.cl.BufferedFetchRecords(), Dialer: c.dialer.Stats()}
}
