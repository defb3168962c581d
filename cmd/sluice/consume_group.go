package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// membership is the state of this member of a group: its partitions, and what it has printed.
type membership struct {
	group, topic string
	cl           *kgo.Client

	mu       sync.Mutex
	assigned []int32
	last     map[int32]*kgo.Record // printed and not committed yet, by partition
}

// consumeGroup prints records as a member of a group, and commits what was printed.
func (c *cli) consumeGroup(ctx context.Context, r *reader) error {
	begin, err := parsePlace(r.from)
	if err != nil {
		return err
	}
	m := &membership{group: r.group, topic: r.topic, last: make(map[int32]*kgo.Record)}
	m.cl, err = c.connect(ctx, kgo.ConsumerGroup(r.group), kgo.ConsumeTopics(r.topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(begin.kgo()), kgo.FetchMaxWait(time.Second), kgo.KeepRetryableFetchErrors(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.gain(p[r.topic]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.lose(p[r.topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.lose(p[r.topic]) }))
	if err != nil {
		return err
	}
	defer m.cl.CloseAllowingRebalance()
	r.member = m
	return r.run(ctx, m.cl)
}

func (m *membership) gain(ps []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assigned = append(m.assigned, ps...)
}

// lose removes partitions. What was printed of them is committed already: rebalances wait for
// that.
func (m *membership) lose(ps []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assigned = slices.DeleteFunc(m.assigned, func(p int32) bool { return slices.Contains(ps, p) })
}

func (m *membership) printed(r *kgo.Record) { m.last[r.Partition] = r }

// commit commits what was printed, even if ctx is done, and lets pending rebalances proceed.
func (m *membership) commit(ctx context.Context) error {
	defer m.cl.AllowRebalance()
	if len(m.last) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	var records []*kgo.Record
	for _, r := range m.last {
		records = append(records, r)
	}
	if err := m.cl.CommitRecords(ctx, records...); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("printed records were not committed for group %s: %w", m.group, err)
	}
	clear(m.last)
	return nil
}

const commitTimeout = 10 * time.Second

// through reports whether all partitions of this member have been read to the end, by this
// member or by earlier ones.
func (m *membership) through(left map[int32]span) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.assigned {
		if s := left[p]; m.at(s) < s.end {
			return false
		}
	}
	return len(m.assigned) > 0
}

// has reports whether this member has a partition.
func (m *membership) has(p int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.assigned, p)
}

// at returns where the group continues in a partition.
func (m *membership) at(s span) int64 {
	return max(s.from, m.cl.CommittedOffsets()[m.topic][s.partition].Offset)
}

// kgo returns where a group starts in partitions without a committed offset.
func (p place) kgo() kgo.Offset {
	switch p.kind {
	case atEnd:
		return kgo.NewOffset().AtEnd()
	case atOffset:
		return kgo.NewOffset().At(p.at)
	case atTime:
		return kgo.NewOffset().AfterMilli(p.at)
	}
	return kgo.NewOffset().AtStart()
}
