package kafka

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
)

func list(c *cluster, version int16, timestamp int64, change func(*kmsg.ListOffsetsRequestTopicPartition)) kmsg.ListOffsetsResponseTopicPartition {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID, req.TimeoutMillis = version, -1, 1000
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = timestamp
	if change != nil {
		change(&p)
	}
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return call[*kmsg.ListOffsetsResponse](c, req).Topics[0].Partitions[0]
}

// listedCluster has a partition with offsets 10 to 100: below 60 in two objects, from 40 in the
// WAL.
func listedCluster(t *testing.T) (*cluster, *partition.State) {
	c := newCluster(t, nil)
	orders := c.topic("orders", 1)
	s := c.state(orders, 0)
	s.NoteEpoch(1, 0)
	s.NoteEpoch(3, 50)
	for base := int64(40); base < 100; base += 10 {
		s.Tail.Append(partition.Entry{Base: base, Count: 10, Size: 100, MaxTimestamp: 1000 + base})
	}
	s.Publish(100)
	s.SetLogStart(10)
	s.SetTierEnd(60)
	orders.Partitions[0].Objects = []meta.ObjectRef{{Base: 0, End: 30, MaxTimestamp: 5000}, {Base: 30, End: 60, MaxTimestamp: 900}}
	return c, s
}

func TestListOffsetsOfPlaces(t *testing.T) {
	c, s := listedCluster(t)
	for _, tt := range []struct {
		what      string
		version   int16
		timestamp int64
		offset    int64
		epoch     int32
		want      *kerr.Error
	}{
		{"latest", 10, latest, 100, 3, nil},
		{"latest in the oldest version", 1, latest, 100, -1, nil},
		{"earliest", 10, earliest, 10, 1, nil},
		{"earliest in the WAL", 8, earliestLocal, 40, 1, nil},
		{"latest in objects", 9, latestTiered, 59, 3, nil},
		{"a special timestamp in an old version", 7, earliestLocal, -1, -1, kerr.UnsupportedVersion},
		{"a special timestamp in an old version", 8, latestTiered, -1, -1, kerr.UnsupportedVersion},
		{"max timestamp in an old version", 6, maxTimestamp, -1, -1, kerr.UnsupportedVersion},
		{"first not in objects", 11, firstUntiered, 60, 3, nil},
		{"a special timestamp in an old version", 10, firstUntiered, -1, -1, kerr.UnsupportedVersion},
		{"an unknown special timestamp", 11, -7, -1, -1, kerr.UnsupportedVersion},
	} {
		p := list(c, tt.version, tt.timestamp, nil)
		wantCode(t, tt.what, p.ErrorCode, tt.want)
		if p.Offset != tt.offset || p.LeaderEpoch != tt.epoch || p.Timestamp != -1 {
			t.Errorf("%s: %+v", tt.what, p)
		}
	}
	s.Tail.Trim(100)
	if p := list(c, 8, earliestLocal, nil); p.Offset != 100 {
		t.Errorf("nothing in the WAL: %+v", p)
	}
	s.SetTierEnd(100)
	s.SetLogStart(100)
	if p := list(c, 9, latestTiered, nil); p.Offset != -1 || p.ErrorCode != 0 {
		t.Errorf("nothing in objects: %+v", p)
	}
	for _, ts := range []int64{earliest, earliestLocal, firstUntiered} { // in an empty log the next record belongs to the current epoch
		if p := list(c, 11, ts, nil); p.Offset != 100 || p.LeaderEpoch != 3 {
			t.Errorf("timestamp %d of an empty log: %+v", ts, p)
		}
		fresh := newCluster(t, nil)
		fresh.topic("orders", 1)
		if p := list(fresh, 11, ts, nil); p.Offset != 0 || p.LeaderEpoch != 3 {
			t.Errorf("timestamp %d of a new log: %+v", ts, p)
		}
	}
}

// Duplicates are refused, wherever they are in the request, and answered once.
func TestListOffsetsOfWhatIsNamedTwice(t *testing.T) {
	c := newCluster(t, nil)
	c.topic("orders", 3)
	ask := func(partitions ...int32) (out []kmsg.ListOffsetsRequestTopicPartition) {
		for _, n := range partitions {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = n, latest
			out = append(out, p)
		}
		return out
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 10
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: ask(2, 0, 9, 9)}, {Topic: "none", Partitions: ask(0)},
		{Topic: "orders", Partitions: ask(1, 0)}, {Topic: "none", Partitions: ask(0)}, {Topic: "empty"}}
	resp := call[*kmsg.ListOffsetsResponse](c, req)
	if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 4 || len(resp.Topics[1].Partitions) != 1 {
		t.Fatalf("%+v", resp.Topics)
	}
	want := map[int32]*kerr.Error{0: kerr.InvalidRequest, 1: nil, 2: nil, 9: kerr.InvalidRequest}
	for _, p := range resp.Topics[0].Partitions {
		wantCode(t, fmt.Sprint("partition ", p.Partition), p.ErrorCode, want[p.Partition])
	}
	wantCode(t, "unknown topic", resp.Topics[1].Partitions[0].ErrorCode, kerr.InvalidRequest)
	req.IsolationLevel = 2
	resp = call[*kmsg.ListOffsetsResponse](c, req)
	if len(resp.Topics) != 5 {
		t.Fatalf("%+v", resp.Topics)
	}
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			wantCode(t, "unknown isolation level", p.ErrorCode, kerr.UnknownServerError)
			if p.Offset != -1 || p.Timestamp != -1 || p.LeaderEpoch != -1 {
				t.Errorf("%+v", p)
			}
		}
	}
}

// If no record has a timestamp, the newest is the first record.
func TestListOffsetsOfTheMaxTimestampWhereThereIsNone(t *testing.T) {
	c := newCluster(t, nil)
	s := c.state(c.topic("orders", 1), 0)
	c.byTime = func(_ *partition.State, ms int64) (TimedOffset, bool, error) {
		return TimedOffset{Offset: s.LogStart(), Timestamp: -1, Epoch: 3}, ms <= -1, nil
	}
	if p := list(c, 7, maxTimestamp, nil); p.Offset != -1 || p.LeaderEpoch != -1 {
		t.Errorf("an empty log: %+v", p)
	}
	s.Tail.Append(partition.Entry{Base: 0, Count: 10, Size: 100, MaxTimestamp: -1})
	s.Publish(10)
	if p := list(c, 7, maxTimestamp, nil); p.Offset != 0 || p.Timestamp != -1 || p.LeaderEpoch != 3 {
		t.Errorf("no record has a time: %+v", p)
	}
	s.Tail.Append(partition.Entry{Base: 10, Count: 1, Size: 100, MaxTimestamp: 7}) // of a deleted record
	s.Publish(12)
	s.SetLogStart(11)
	if p := list(c, 7, maxTimestamp, nil); p.Offset != 11 || p.Timestamp != -1 {
		t.Errorf("records with a timestamp are deleted: %+v", p)
	}
}

func TestListOffsetsChecksPartitionAndEpoch(t *testing.T) {
	c, _ := listedCluster(t)
	for _, tt := range []struct {
		partition, epoch int32
		want             *kerr.Error
	}{{0, 3, nil}, {0, 2, kerr.FencedLeaderEpoch}, {0, 4, kerr.UnknownLeaderEpoch}, {1, -1, kerr.UnknownTopicOrPartition}} {
		p := list(c, 10, latest, func(p *kmsg.ListOffsetsRequestTopicPartition) {
			p.Partition, p.CurrentLeaderEpoch = tt.partition, tt.epoch
		})
		wantCode(t, fmt.Sprintf("%+v", tt), p.ErrorCode, tt.want)
	}
}

func TestListOffsetsByTime(t *testing.T) {
	c, _ := listedCluster(t)
	c.byTime = func(_ *partition.State, ms int64) (TimedOffset, bool, error) {
		switch ms {
		case 7:
			return TimedOffset{Offset: 42, Timestamp: 8, Epoch: 1}, true, nil
		case 9:
			return TimedOffset{}, false, errors.New("object store is down")
		}
		return TimedOffset{}, false, nil
	}
	if p := list(c, 10, 7, nil); p.Offset != 42 || p.Timestamp != 8 || p.LeaderEpoch != 1 || p.ErrorCode != 0 {
		t.Errorf("found: %+v", p)
	}
	if p := list(c, 10, 8, nil); p.Offset != -1 || p.Timestamp != -1 || p.ErrorCode != 0 {
		t.Errorf("no record that late: %+v", p)
	}
	wantCode(t, "failed", list(c, 10, 9, nil).ErrorCode, kerr.UnknownServerError)
}

// The first object's max timestamp, 5000, may belong to a record below the log start: the
// search finds out, and the rest of the log decides.
func TestListOffsetsOfTheMaxTimestamp(t *testing.T) {
	c, s := listedCluster(t)
	var asked []int64
	left := int64(5000)
	c.byTime = func(_ *partition.State, ms int64) (TimedOffset, bool, error) {
		asked = append(asked, ms)
		return TimedOffset{Offset: ms, Timestamp: ms}, ms <= left, nil
	}
	if p := list(c, 7, maxTimestamp, nil); p.Timestamp != 5000 {
		t.Errorf("the record exists: %+v, asked %v", p, asked)
	}
	left = 4999
	asked = nil
	if p := list(c, 7, maxTimestamp, nil); p.Timestamp != 4999 || len(asked) > 20 {
		t.Errorf("it was deleted, the one before was not: %+v, asked %v", p, asked)
	}
	left = 1090
	if p := list(c, 7, maxTimestamp, nil); p.Timestamp != 1090 {
		t.Errorf("it was deleted: %+v, asked %v", p, asked)
	}
	s.SetLogStart(30)
	asked = nil
	if p := list(c, 7, maxTimestamp, nil); p.Timestamp != 1090 || len(asked) != 1 {
		t.Errorf("the object is below the log start: %+v, asked %v", p, asked)
	}
	s.SetLogStart(95) // inside the last WAL range, whose max timestamp may belong to a record below
	left = 1089
	if p := list(c, 7, maxTimestamp, nil); p.Timestamp != 1089 {
		t.Errorf("the log start is inside a range: %+v, asked %v", p, asked)
	}
	empty := newCluster(t, nil)
	empty.topic("orders", 1)
	if p := list(empty, 7, maxTimestamp, nil); p.Offset != -1 || p.ErrorCode != 0 {
		t.Errorf("an empty log: %+v", p)
	}
}
