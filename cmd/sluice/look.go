package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// look fetches from each partition at the reader's position. A consumer reports neither its
// position among batches without records, nor that a partition read to its end continues with
// damaged records: the broker reports that as an error.
func (r *reader) look(ctx context.Context, cl *kgo.Client) error {
	defer func() { r.looked = time.Now() }()
	wanted := slices.DeleteFunc(slices.Sorted(maps.Keys(r.left)), func(p int32) bool { return r.member != nil && !r.member.has(p) })
	if len(wanted) == 0 {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	topics, err := kadm.NewClient(cl).ListTopics(within, r.topic)
	if err != nil {
		return unlessDone(ctx, fmt.Errorf("metadata: %w", err))
	}
	t := topics[r.topic]
	if t.Err != nil {
		return refusal("topic", r.topic, t.Err, "")
	}
	for _, p := range wanted {
		if d, ok := t.Partitions[p]; ok && d.Err == nil && d.Leader >= 0 { // otherwise the consumer reports it
			if err := r.lookAt(within, cl, d, t.ID); err != nil {
				return unlessDone(ctx, err)
			}
		}
	}
	return nil
}

// unlessDone returns err, or nil after an interrupt.
func unlessDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// lookAt checks one partition. An error at its end is returned at once: waiting would not help.
func (r *reader) lookAt(ctx context.Context, cl *kgo.Client, d kadm.PartitionDetail, id kadm.TopicID) error {
	s := r.left[d.Partition]
	if r.member != nil {
		s.from = r.member.at(s)
	}
	next, err := ask(ctx, cl, d, id, s.from)
	if err != nil {
		place := ofPartition(r.topic, d.Partition, s.from, err)
		if !kerr.IsRetriable(err) || s.from >= s.end && errors.Is(err, kerr.KafkaStorageError) || r.lasts(d.Partition, place) {
			return place
		}
		return nil
	}
	delete(r.failing, d.Partition)
	if s.from < s.end && next > s.from {
		s.from = next
		r.left[d.Partition] = s
	}
	return nil
}

// ask fetches from an offset and returns the offset after any batches without records: the
// given one if there are records.
func ask(ctx context.Context, cl *kgo.Client, d kadm.PartitionDetail, id kadm.TopicID, offset int64) (int64, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes = 1 // still at least one batch
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = d.Partition, offset, 1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = d.Topic, id, append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, cl.Broker(int(d.Leader)))
	if err != nil {
		return offset, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return offset, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return offset, fmt.Errorf("the broker answers for %d topics", len(resp.Topics))
	}
	answer := &resp.Topics[0].Partitions[0]
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: offset, Topic: d.Topic, Partition: d.Partition}, answer, nil, nil)
	switch {
	case len(got.Records) > 0:
		return offset, nil
	case errors.Is(got.Err, kerr.OffsetOutOfRange) && answer.LogStartOffset > offset: // deleted meanwhile
		return answer.LogStartOffset, nil
	}
	return next, got.Err
}
