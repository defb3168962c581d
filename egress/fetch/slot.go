package fetch

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// named is a topic as the client names it: by id from version 13 on, else by name.
type named struct {
	name string
	id   topic.ID
}

// slot is one partition that a reader follows.
type slot struct {
	topic *named // shared by neighbours of one request
	index int32
	at    int // position among the slots of a session

	state  *partition.State // nil while it cannot be served here
	mark   partition.Mark   // of state, from before the poll looked
	watch  partition.Watch  // of state
	behind bool             // there was something to read when the poll looked

	offset    int64
	maxBytes  int32
	epoch     int32 // leader epoch that the reader believes in, -1 for none
	lastEpoch int32 // epoch of the last record it read, -1 for none

	// What the reader of a session was last told, -1 for nothing.
	toldHW, toldStart int64
}

// ask takes over what a request says of the partition.
func (s *slot) ask(p *kmsg.FetchRequestTopicPartition) {
	s.offset, s.maxBytes = p.FetchOffset, p.PartitionMaxBytes
	s.epoch, s.lastEpoch = max(lookup.NoEpoch, p.CurrentLeaderEpoch), p.LastFetchedEpoch
}

// arm has by told when n bytes have come since the poll looked, or something else has
// changed; it returns true if that is so already.
func (s *slot) arm(by partition.Watcher, n int64) bool {
	return s.state != nil && s.state.Arm(&s.watch, by, s.mark, n)
}

func (s *slot) disarm() {
	if s.state != nil {
		s.state.Disarm(&s.watch)
	}
}

// slotsOf makes the slots of a request that stands for itself. They refer to
// the request's strings. A partition that is named twice has one, as in a session: with
// what is said last, where it was named first.
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

// ascending says of a request that its partitions, and its topics, come in order, so that
// none is named twice.
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
