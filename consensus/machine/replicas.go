package machine

import (
	"errors"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// MinISR is the min.insync.replicas of a topic, as of a revision of its record in Root.
type MinISR struct {
	N        int32
	Revision uint64
}

func layoutMinISR(c *coder, m *MinISR) {
	c.int32(&m.N)
	c.uint64(&m.Revision)
}

// create adds a partition. All replicas are in sync, since there is nothing to hold; those that
// are not live leave the ISR at once, and one that is draining does not lead.
func (s *Shard) create(id topic.Partition, replicas []int32, ch *Changes) {
	r := replication.Record{Replicas: replicas, Leader: replicas[0], ISR: slices.Clone(replicas)}.SetMinISR(int(s.minISR[id.Topic].N))
	r.Version = 0
	for _, b := range replicas {
		if _, ok := s.sessions.Live(b); !ok {
			r = r.Fence(b, false, electable(s.sessions))
		}
	}
	if s.sessions[r.Leader].Draining {
		r = s.handOver(r)
	}
	p := new(meta.Partition)
	r.Unfence(s.sessions).Into(p)
	s.put(id, p, ch)
}

// alterISR applies the leaders' proposals, each on its own.
func (s *Shard) alterISR(x *AlterISR, ch *Changes) []Code {
	codes := make([]Code, len(x.Items))
	for i, item := range x.Items {
		codes[i] = s.change(item.Partition, ch, func(r replication.Record) (replication.Record, error) {
			return r.AlterISR(item.Change, electable(s.sessions))
		})
	}
	return codes
}

// change changes one partition, unless f returns an error.
func (s *Shard) change(id topic.Partition, ch *Changes, f func(replication.Record) (replication.Record, error)) Code {
	p, ok := s.partition(id)
	if !ok {
		return UnknownTopic
	}
	next, err := f(replication.RecordOf(p))
	if err == nil {
		s.store(id, p, next, ch)
	}
	return codeOf(err)
}

// elect moves leadership on request.
func (s *Shard) elect(x *ElectLeaders, ch *Changes) []Code {
	codes := make([]Code, len(x.Items))
	for i, item := range x.Items {
		codes[i] = s.change(item.Partition, ch, func(r replication.Record) (replication.Record, error) {
			return s.elected(r, x.Kind, item.To)
		})
	}
	return codes
}

func (s *Shard) elected(r replication.Record, kind meta.Election, to int32) (replication.Record, error) {
	switch kind {
	case meta.ElectPreferred:
		to = r.Replicas[0]
		if r.Leader == to {
			return r, meta.ErrElectionNotNeeded
		}
		next, err := r.Transfer(to, electable(s.sessions))
		if errors.Is(err, replication.ErrIneligible) {
			err = meta.ErrPreferredUnavailable
		}
		return next, err
	case meta.ElectNamed:
		if r.Leader == to {
			return r, meta.ErrElectionNotNeeded
		}
		return r.Transfer(to, electable(s.sessions))
	case meta.ElectUnclean:
		if r.Leader != replication.NoLeader {
			return r, meta.ErrElectionNotNeeded
		}
		return r.ElectUnclean(to, s.sessions)
	}
	return r, replication.ErrIneligible
}

// setMinISR applies min.insync.replicas to the partitions of a topic, unless a later revision
// has been applied.
func (s *Shard) setMinISR(x *SetMinISR, ch *Changes) Code {
	parts := s.topics[x.Topic]
	if known, ok := s.minISR[x.Topic]; len(parts) == 0 || ok && x.MinISR.Revision <= known.Revision {
		return OK
	}
	s.minISR[x.Topic] = x.MinISR
	for _, index := range sortedKeys(parts) {
		id := topic.Partition{Topic: x.Topic, Index: index}
		s.store(id, parts[index], replication.RecordOf(parts[index]), ch)
	}
	return OK
}

// reassign begins moves of partitions, or cancels them where there is no target.
func (s *Shard) reassign(x *Reassign, ch *Changes) []Code {
	codes := make([]Code, len(x.Items))
	for i, item := range x.Items {
		if slices.ContainsFunc(item.Target, func(b int32) bool { return s.sessions[b].Incarnation == 0 }) {
			codes[i] = UnknownBroker
			continue
		}
		codes[i] = s.change(item.Partition, ch, func(r replication.Record) (replication.Record, error) {
			if len(item.Target) == 0 {
				return r.CancelReassign(electable(s.sessions))
			}
			return r.Reassign(item.Target, electable(s.sessions))
		})
	}
	return codes
}
