package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func partitionsOf(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit, req.Cursor = limit, cursor
	for _, name := range names {
		req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
	}
	return req
}

// Whatever the limit, paging by cursor returns each partition once, in order.
func TestPagesOfTopicPartitionsHaveEachOnce(t *testing.T) {
	c := newCluster(t, nil)
	var want []string
	for _, topic := range []struct {
		name  string
		parts int32
	}{{"a", 3}, {"b", 1}, {"c", 4}} {
		c.topic(topic.name, topic.parts)
		for i := range topic.parts {
			want = append(want, fmt.Sprint(topic.name, i))
		}
	}
	for _, names := range [][]string{nil, {"c", "a", "b", "a"}} {
		for limit := int32(0); limit <= 9; limit++ {
			var got []string
			var cursor *kmsg.DescribeTopicPartitionsRequestCursor
			for pages := 0; pages == 0 || cursor != nil; pages++ {
				resp := call[*kmsg.DescribeTopicPartitionsResponse](c, partitionsOf(limit, cursor, names...))
				n := 0
				for _, topic := range resp.Topics {
					for _, p := range topic.Partitions {
						got = append(got, fmt.Sprint(*topic.Topic, p.Partition))
						n++
					}
				}
				if n > max(1, int(limit)) || pages > len(want) {
					t.Fatalf("limit %d, page %d: %d partitions", limit, pages, n)
				}
				cursor = nil
				if next := resp.NextCursor; next != nil {
					cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: next.Topic, Partition: next.Partition}
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("limit %d of %v: got %v, want %v", limit, names, got, want)
			}
		}
	}
}

func TestAPageOfTopicPartitionsIsBounded(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.TopicPartitions = 10_000 })
	c.topic("big", 5000)
	for _, req := range []*kmsg.DescribeTopicPartitionsRequest{partitionsOf(1<<30, nil), partitionsOf(1<<30, nil, "big")} {
		resp := call[*kmsg.DescribeTopicPartitionsResponse](c, req)
		if n := len(resp.Topics[0].Partitions); n != partitionsAtOnce || resp.NextCursor == nil || resp.NextCursor.Partition != partitionsAtOnce {
			t.Errorf("%d partitions, cursor %+v", n, resp.NextCursor)
		}
		if n := c.topicPartitionsBytes(req); n < partitionsAtOnce*partitionAnswer {
			t.Errorf("%d bytes are charged", n)
		}
	}
}

func TestTopicPartitionsThatThereAreNot(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("a", 2)
	cursor := func(topic string, p int32) *kmsg.DescribeTopicPartitionsRequestCursor {
		return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: p}
	}
	for what, tt := range map[string]struct {
		req  *kmsg.DescribeTopicPartitionsRequest
		want *kerr.Error
	}{
		"unknown":                 {partitionsOf(10, nil, "nobody"), kerr.UnknownTopicOrPartition},
		"bad name":                {partitionsOf(10, nil, "a b"), kerr.InvalidTopicException},
		"cursor before":           {partitionsOf(10, cursor("a", -1), "a"), kerr.InvalidRequest},
		"cursor of another topic": {partitionsOf(10, cursor("b", 0), "a"), kerr.InvalidRequest},
		"cursor behind the end":   {partitionsOf(10, cursor("a", 7), "a"), nil},
	} {
		resp := call[*kmsg.DescribeTopicPartitionsResponse](c, tt.req)
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 0 || resp.NextCursor != nil {
			t.Errorf("%s: %+v", what, resp)
			continue
		}
		wantCode(t, what, resp.Topics[0].ErrorCode, tt.want)
	}
	// A topic deleted since the previous page is skipped.
	if resp := call[*kmsg.DescribeTopicPartitionsResponse](c, partitionsOf(10, cursor("0-gone", 5))); len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
		t.Errorf("after a deleted topic: %+v", resp.Topics)
	}
}
