package sluice

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (c *Consumer) assigned(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, ps := range m {
		for _, p := range ps {
			c.own(topic, p)
		}
	}
}

func (c *Consumer) own(topic string, p int32) {
	if c.owned[topic] == nil {
		c.owned[topic] = make(map[int32]bool)
	}
	c.owned[topic][p] = true
}

// revoked commits what was processed before the next owner starts.
func (c *Consumer) revoked(ctx context.Context, cl *kgo.Client, m map[string][]int32) {
	c.lost(ctx, cl, m)
	if err := cl.CommitMarkedOffsets(ctx); err != nil {
		c.errs.Add(1) // the next owner reads some records again
	}
}

func (c *Consumer) lost(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(func(topic string, p int32) bool { return slices.Contains(m[topic], p) })
	for topic, ps := range m {
		for _, p := range ps {
			delete(c.owned[topic], p)
		}
	}
}

// Mark marks records as processed, with all earlier ones of their partitions. Marked records
// are committed at the next opportunity.
func (c *Consumer) Mark(rs ...*Record) { c.cl.MarkCommitRecords(slices.Clone(rs)...) }

// Commit commits the marked records, and returns once the broker has stored the offsets.
func (c *Consumer) Commit(ctx context.Context) error {
	if c.cfg.Group == "" {
		return errNoGroup
	}
	return c.cl.CommitMarkedOffsets(ctx)
}

// CommitRecords marks and commits the given records, and nothing else.
func (c *Consumer) CommitRecords(ctx context.Context, rs ...*Record) error {
	if c.cfg.Group == "" {
		return errNoGroup
	}
	return c.cl.CommitRecords(ctx, slices.Clone(rs)...)
}

var errNoGroup = errors.New("offsets are committed for a group; set Group")

// Seek continues reading a partition at offset, whatever was read or committed before. A
// consumer of Partitions may call it at any time, one of Topics once it owns the partition and
// knows its position: at the latest after the first record from it.
func (c *Consumer) Seek(topic string, partition int32, offset int64) error {
	if offset < 0 {
		return fmt.Errorf("offset %d of %s/%d is negative", offset, topic, partition)
	}
	direct := slices.Contains(c.cfg.Partitions[topic], partition)
	if !direct && !c.owns(topic, partition) {
		return &PartitionError{topic, partition, errNotOwned}
	}
	if direct { // for a partition not fetched yet
		c.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}})
	}
	c.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: offset}}})
	if at, ok := c.cl.CommittedOffsets()[topic][partition]; c.cfg.Group != "" && (!ok || at.Offset != offset) {
		return &PartitionError{topic, partition, errNotOwned}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(func(t string, p int32) bool { return t == topic && p == partition })
	return nil
}

var errNotOwned = errors.New("not read by this consumer, or not yet; seek after its first record")

func (c *Consumer) owns(topic string, partition int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owned[topic][partition]
}
