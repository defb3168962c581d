package fetch

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
)

// An unknown partition has an empty list of aborted transactions; any other error has null.
// Kafka's clients have always seen it so.
func TestAbortedTransactionsOfPartitionsWithErrors(t *testing.T) {
	for version := int16(oldest); version <= newest; version++ {
		b := newBroker(t, nil)
		orders := b.topic("orders", 1)
		for _, isolation := range []int8{0, readCommitted} {
			req := request(version, 0, -1, at{t: orders, index: 9}, at{t: orders, offset: 5}, at{t: &meta.Topic{Name: "nobody", ID: [16]byte{9}}})
			req.IsolationLevel = isolation
			resp := b.fetch(req)
			if p := resp.Topics[0].Partitions; p[0].AbortedTransactions == nil || p[1].AbortedTransactions != nil {
				t.Errorf("v%d: aborted transactions of an unknown partition %v, of an offset out of range %v", version, p[0].AbortedTransactions, p[1].AbortedTransactions)
			}
			if p := resp.Topics[1].Partitions[0]; p.AbortedTransactions == nil || p.ErrorCode == 0 {
				t.Errorf("v%d: an unknown topic: %+v", version, p)
			}
		}
		b.Close()
		b.idle()
	}
}

// Only a client with an older epoch is redirected to the leader: one with a newer epoch would
// come straight back here.
func TestOnlyFencedReadersAreToldTheLeader(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 1)
	b.state(orders, 0).SetEpoch(4)
	orders.Partitions[0].Epoch = 4
	for epoch, leader := range map[int32]int32{3: 1, 5: -1} {
		resp := b.fetch(request(newest, 0, -1, at{t: orders, with: func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch }}))
		p := only(t, resp)
		if p.ErrorCode == 0 || p.CurrentLeader.LeaderID != leader || (len(resp.Brokers) == 1) != (leader >= 0) {
			t.Errorf("epoch %d: %+v, brokers %+v", epoch, p, resp.Brokers)
		}
	}
}

func TestUnknownIsolationLevels(t *testing.T) {
	for version := int16(oldest); version <= newest; version++ {
		b := newBroker(t, nil)
		orders := b.topic("orders", 2)
		b.append(orders, 0, 10)
		for _, isolation := range []int8{2, -1, 127} {
			req := request(version, 0, 0, at{t: orders}, at{t: orders, index: 1})
			req.IsolationLevel = isolation
			resp := b.fetch(req)
			if version >= 7 && resp.ErrorCode != kerr.UnknownServerError.Code || resp.SessionID != 0 {
				t.Errorf("v%d, level %d: %+v", version, isolation, resp)
			}
			switch {
			case version >= 13 && len(resp.Topics) > 0:
				t.Errorf("v%d, level %d: %+v", version, isolation, resp.Topics)
			case version < 13:
				for _, p := range resp.Topics[0].Partitions {
					if p.ErrorCode != kerr.UnknownServerError.Code || p.HighWatermark != -1 || len(p.RecordBatches) > 0 {
						t.Errorf("v%d, level %d: %+v", version, isolation, p)
					}
				}
			}
		}
		b.Close()
		b.idle()
	}
}

// Negative sizes are refused if there is something to read. 0 works like 1.
func TestNegativeSizes(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 2)
	b.append(orders, 0, 10)
	for _, partition := range []bool{true, false} {
		for size, want := range map[int32]*kerr.Error{-1: kerr.UnknownServerError, -1 << 31: kerr.UnknownServerError, 0: nil} {
			req := request(newest, 0, -1, at{t: orders}, at{t: orders, index: 1})
			req.MaxWaitMillis = 0
			if !partition {
				req.MaxBytes = size
			}
			for i := range req.Topics[0].Partitions {
				if p := &req.Topics[0].Partitions[i]; partition {
					p.PartitionMaxBytes = size
				}
			}
			p := b.fetch(req).Topics[0].Partitions
			if want == nil {
				if p[0].ErrorCode != 0 || len(p[0].RecordBatches) != 10 {
					t.Errorf("size %d: %+v", size, p[0])
				}
			} else if p[0].ErrorCode != want.Code || p[0].HighWatermark != -1 || len(p[0].RecordBatches) > 0 {
				t.Errorf("size %d: %+v", size, p[0])
			}
			if p[1].ErrorCode != 0 || p[1].HighWatermark != 0 {
				t.Errorf("size %d, nothing to read: %+v", size, p[1])
			}
		}
	}
	b.Close()
	b.idle()
}

func TestAPartitionThatIsNamedTwiceIsAnsweredOnce(t *testing.T) {
	for _, epoch := range []int32{-1, 0} { // without and with a session
		b := newBroker(t, nil)
		orders, pays := b.topic("orders", 3), b.topic("pays", 1)
		b.append(orders, 1, 10)
		b.append(orders, 1, 20)
		for _, version := range []int16{12, newest} {
			req := request(version, 0, epoch, at{t: orders, index: 1}, at{t: orders}, at{t: pays}, at{t: orders, index: 2}, at{t: orders, index: 1, offset: 1})
			resp := b.fetch(req)
			n, read := 0, 0
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					n++
					read += len(p.RecordBatches)
				}
			}
			if n != 4 || read != 20 { // from the last offset requested
				t.Errorf("version %d, session epoch %d: %d partitions, %d bytes", version, epoch, n, read)
			}
		}
		b.Close()
		b.idle()
	}
}

// TestReadersBeyondTheHighWatermarkOfANewLeader: it may be below that of the leader before. A
// reader between it and the log end waits; it is not told to start over.
func TestReadersBeyondTheHighWatermarkOfANewLeader(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 1)
	b.append(orders, 0, 10)
	s := b.state(orders, 0)
	hw := s.HighWatermark()
	s.SetLogEnd(hw + 5)
	for offset, want := range map[int64]int16{hw + 5: 0, hw + 6: kerr.OffsetOutOfRange.Code} {
		p := only(t, b.fetch(request(newest, 0, -1, at{t: orders, offset: offset})))
		if p.ErrorCode != want || len(p.RecordBatches) > 0 {
			t.Errorf("offset %d: %+v", offset, p)
		}
	}
}
