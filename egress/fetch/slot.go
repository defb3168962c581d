package fetch

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// named is a topic as the client identifies it: by id since version 13, else by name.
type named struct {
	name string
	id   topic.ID
}

// slot is one partition followed by a reader.
type slot struct {
	topic *named // shared by adjacent partitions of a request
	index int32
	at    int // index in the slots of a session

	state  *partition.State // nil while the partition cannot be served here
	mark   partition.Mark   // of state, taken before the poll scanned
	watch  partition.Watch  // of state
	behind bool             // there was something to read at the last scan

	offset    int64
	maxBytes  int32
	epoch     int32 // current leader epoch known to the reader, -1 if none
	lastEpoch int32 // epoch of the last record it read, -1 if none

	// What the reader of a session knows, -1 for nothing.
	toldHW, toldStart int64
}

// ask applies what a request says about the partition.
func (s *slot) ask(p *kmsg.FetchRequestTopicPartition) {
	s.offset, s.maxBytes = p.FetchOffset, p.PartitionMaxBytes
	s.epoch, s.lastEpoch = max(lookup.NoEpoch, p.CurrentLeaderEpoch), p.LastFetchedEpoch
}

// arm notifies by when n bytes have arrived since mark, or something else has changed; it
// returns true if that is already so.
func (s *slot) arm(by partition.Watcher, n int64) bool {
	return s.state != nil && s.state.Arm(&s.watch, by, s.mark, n)
}

func (s *slot) disarm() {
	if s.state != nil {
		s.state.Disarm(&s.watch)
	}
}

// slotsOf builds the slots of a sessionless request. They refer to the request's strings. As in
// a session, a duplicate partition has one slot, in its first position and with its last
// values.
func slotsOf(req *kmsg.FetchRequest) []*slot {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	flat, out := make([]slot, n), make([]*slot, n)
	topics := make([]named, len(req.Topics))
	at, seen := 0, map[slotKey]*slot(nil)
	if !ascending(req) {
		seen = make(map[slotKey]*slot, n)
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		topics[i] = named{t.Topic, t.TopicID}
		for j := range t.Partitions {
			s := &flat[at]
			s.topic, s.index, s.toldHW, s.toldStart = &topics[i], t.Partitions[j].Partition, -1, -1
			if seen != nil {
				key := slotKey{topics[i], s.index}
				if first := seen[key]; first != nil {
					first.ask(&t.Partitions[j])
					continue
				}
				seen[key] = s
			}
			s.ask(&t.Partitions[j])
			out[at] = s
			at++
		}
	}
	return out[:at]
}

// ascending reports whether topics and partitions are strictly ascending, so that there are no
// duplicates.
func ascending(req *kmsg.FetchRequest) bool {
	for i := range req.Topics {
		t := &req.Topics[i]
		if i > 0 && compare(&named{req.Topics[i-1].Topic, req.Topics[i-1].TopicID}, &named{t.Topic, t.TopicID}) >= 0 {
			return false
		}
		for j := 1; j < len(t.Partitions); j++ {
			if t.Partitions[j-1].Partition >= t.Partitions[j].Partition {
				return false
			}
		}
	}
	return true
}
