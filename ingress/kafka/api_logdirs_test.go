package kafka

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

func logDirsOf(topics ...kmsg.DescribeLogDirsRequestTopic) *kmsg.DescribeLogDirsRequest {
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version, req.Topics = 5, topics
	return req
}

// put gives a partition bytes in the WAL and in objects.
func (c *cluster) put(t *meta.Topic, index int32, inLog int32, inObjects ...int64) {
	c.t.Helper()
	c.state(t, index).Tail.Append(partition.Entry{Size: inLog, Count: 1})
	err := c.change(func(all map[topic.ID]*meta.Topic) error {
		changed := *all[t.ID]
		changed.Partitions = slices.Clone(changed.Partitions)
		p := *changed.Partitions[index]
		for i, bytes := range inObjects {
			p.Objects = append(p.Objects, meta.ObjectRef{ID: meta.NewObjectID(), Base: int64(i), End: int64(i) + 1, Bytes: bytes})
		}
		changed.Partitions[index] = &p
		all[t.ID] = &changed
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestLogDirsHaveWhatIsInTheLogAndInObjects(t *testing.T) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 3)
	c.topic("other", 1)
	c.put(orders, 1, 700, 5000, 60)
	resp := call[*kmsg.DescribeLogDirsResponse](c, logDirsOf(
		kmsg.DescribeLogDirsRequestTopic{Topic: "orders", Partitions: []int32{1, 0, 9, -1, 1}},
		kmsg.DescribeLogDirsRequestTopic{Topic: "nobody", Partitions: []int32{0}},
		kmsg.DescribeLogDirsRequestTopic{Topic: "other"}))
	if len(resp.Dirs) != 2 {
		t.Fatalf("dirs: %+v", resp.Dirs)
	}
	wal, objects := resp.Dirs[0], resp.Dirs[1]
	if wal.Dir != "/wal" || wal.TotalBytes != 1000 || wal.UsableBytes != 400 || objects.Dir != "s3://bucket" || objects.TotalBytes != -1 {
		t.Errorf("places: %+v, %+v", wal, objects)
	}
	if len(wal.Topics) != 1 || len(wal.Topics[0].Partitions) != 2 || wal.Topics[0].Partitions[0].Size != 0 || wal.Topics[0].Partitions[1].Size != 700 {
		t.Errorf("in the WAL: %+v", wal.Topics)
	}
	if len(objects.Topics) != 1 || len(objects.Topics[0].Partitions) != 1 || objects.Topics[0].Partitions[0].Size != 5060 {
		t.Errorf("in objects: %+v", objects.Topics)
	}
	req := logDirsOf()
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
	all := call[*kmsg.DescribeLogDirsResponse](c, req)
	if n := len(all.Dirs[0].Topics); n != 0 {
		t.Errorf("none asked for: %d topics", n)
	}
	req.Topics = nil
	if all = call[*kmsg.DescribeLogDirsResponse](c, req); len(all.Dirs[0].Topics) != 2 || len(all.Dirs[0].Topics[0].Partitions) != 3 {
		t.Errorf("all: %+v", all.Dirs[0].Topics)
	}
}

func TestLogDirsAreChargedBeforeTheyAreMade(t *testing.T) {
	c := newCluster(t, nil)
	big := c.topic("a-topic", 1000)
	for i := range int32(1000) {
		c.put(big, i, 10, 20)
	}
	req := logDirsOf() // all topics
	resp := call[*kmsg.DescribeLogDirsResponse](c, req)
	took := int64(len(resp.AppendTo(nil)))
	for _, d := range resp.Dirs {
		for _, t := range d.Topics {
			took += int64(unsafe.Sizeof(t)) + int64(len(t.Partitions))*int64(unsafe.Sizeof(t.Partitions[0]))
		}
	}
	if n := c.logDirsBytes(req); n < took || n > 3*took {
		t.Errorf("%d bytes are charged for %d", n, took)
	}
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "a-topic", Partitions: make([]int32, 500)}}
	if n := c.logDirsBytes(req); n < 500*partitionAnswer {
		t.Errorf("%d bytes are charged for 500 partitions", n)
	}
}
