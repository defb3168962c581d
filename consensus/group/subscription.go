package group

import (
	"encoding/binary"
)

// consumerProtocol is the protocol type of consumers, the only one whose member metadata we can
// parse.
const consumerProtocol = "consumer"

// subscription is the set of topics a group consumes.
type subscription struct {
	topics map[string]struct{}
	all    bool // unknown, so it may be any topic
}

// subscribed parses the members' metadata.
func subscribed(members [][]byte) subscription {
	s := subscription{topics: make(map[string]struct{})}
	for _, m := range members {
		topics, ok := subscribedTopics(m)
		if !ok {
			return subscription{all: true}
		}
		for _, t := range topics {
			s.topics[t] = struct{}{}
		}
	}
	return s
}

func (s subscription) has(topic string) bool {
	_, ok := s.topics[topic]
	return ok || s.all
}

// subscribedTopics parses the start of a consumer's subscription, the same in all its versions:
//
//	version int16, number of topics int32, then for each its length int16 and name
//
// Clients are not trusted: nothing is allocated beyond the bytes present.
func subscribedTopics(b []byte) ([]string, bool) {
	if len(b) < 6 {
		return nil, false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 || int(n) > len(b)/2 {
		return nil, false
	}
	topics := make([]string, 0, n)
	for range n {
		if len(b) < 2 {
			return nil, false
		}
		size := int(int16(binary.BigEndian.Uint16(b)))
		b = b[2:]
		if size < 0 || size > len(b) {
			return nil, false
		}
		topics = append(topics, string(b[:size]))
		b = b[size:]
	}
	return topics, true
}
