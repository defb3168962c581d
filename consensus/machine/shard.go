package machine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Changes is what a command changed in a Shard; values are immutable.
type Changes struct {
	Partitions []PartitionChange
	Groups     []GroupChange
}

// PartitionChange is the new record of a partition; nil: removed.
type PartitionChange struct {
	ID  topic.Partition
	Now *meta.Partition
}

// GroupChange is the new state of a group; nil: removed.
type GroupChange struct {
	Name string
	Now  *meta.Group
}

// Shard is the state machine of a partition shard.
//
// Records and groups are replaced, never modified, so readers may keep what Changes gave them.
// A manifest that grows shares its array with the previous one.
type Shard struct {
	topics       map[topic.ID]map[int32]*meta.Partition
	incarnations map[int32]uint64 // of brokers, as known to this shard
	objects      map[meta.ObjectID]object
	groups       map[string]*meta.Group
}

// NewShard returns the state before the first command.
func NewShard() *Shard {
	return &Shard{topics: make(map[topic.ID]map[int32]*meta.Partition), incarnations: make(map[int32]uint64),
		objects: make(map[meta.ObjectID]object), groups: make(map[string]*meta.Group)}
}

// Apply applies one command. It returns an error if the command is not one of a Shard's.
func (s *Shard) Apply(cmd Command) (r Result, ch Changes, err error) {
	r.Code = OK
	switch x := cmd.(type) {
	case *EnsurePartitions:
		s.ensure(x, &ch)
	case *StartBroker:
		r.Code = s.startBroker(x, &ch)
	case *SetLogStart:
		r.Code = s.setLogStart(x, &ch)
	case *PrepareObject:
		r.Code = s.prepare(x)
	case *CommitParts:
		r.Parts = s.commit(x, &ch)
	case *ExpireObjects:
		s.expire(x)
	case *ExpireProducers:
		s.expireProducers(x, &ch)
	case *MarkDeleted:
		s.markDeleted(x)
	case *CollectObjects:
		s.collect(x)
	case *DropTopic:
		s.drop(x, &ch)
	case *TrimLog:
		r.Code = s.trimLog(x, &ch)
	case *ReplaceObjects:
		r.Code = s.replace(x, &ch)
	case *ChangeGroup:
		s.changeGroup(x, &ch)
	default:
		err = fmt.Errorf("%w: command %d is not of a partition shard", ErrMalformed, cmd.kind())
	}
	return r, ch, err
}

// All returns all partitions and groups as changes.
func (s *Shard) All() (all Changes) {
	for id, parts := range s.topics {
		for index, p := range parts {
			all.Partitions = append(all.Partitions, PartitionChange{topic.Partition{Topic: id, Index: index}, p})
		}
	}
	for name, g := range s.groups {
		all.Groups = append(all.Groups, GroupChange{name, g})
	}
	return all
}

func (s *Shard) put(id topic.Partition, p *meta.Partition, ch *Changes) {
	parts := s.topics[id.Topic]
	if parts == nil {
		parts = make(map[int32]*meta.Partition)
		s.topics[id.Topic] = parts
	}
	parts[id.Index] = p
	ch.Partitions = append(ch.Partitions, PartitionChange{id, p})
}

func (s *Shard) ensure(x *EnsurePartitions, ch *Changes) {
	for _, n := range x.Parts {
		if _, there := s.topics[x.Topic][n.Index]; there || len(n.Replicas) == 0 {
			continue
		}
		s.put(topic.Partition{Topic: x.Topic, Index: n.Index},
			&meta.Partition{Leader: n.Replicas[0], Replicas: n.Replicas, ISR: slices.Clone(n.Replicas)}, ch)
	}
}

// startBroker starts a new epoch in every partition that the broker leads, so that a log
// truncated by a crash never continues under the epoch of the lost records, and whatever the
// previous incarnation left in progress is refused.
func (s *Shard) startBroker(x *StartBroker, ch *Changes) Code {
	if x.Incarnation <= s.incarnations[x.Broker] {
		return Conflict
	}
	s.incarnations[x.Broker] = x.Incarnation
	for _, id := range slices.SortedFunc(maps.Keys(s.topics), compareTopics) {
		for _, index := range slices.Sorted(maps.Keys(s.topics[id])) {
			p := s.topics[id][index]
			if p.Leader != x.Broker {
				continue
			}
			next := *p
			next.Epoch++
			s.put(topic.Partition{Topic: id, Index: index}, &next, ch)
		}
	}
	return OK
}

func (s *Shard) setLogStart(x *SetLogStart, ch *Changes) Code {
	p, ok := s.topics[x.Partition.Topic][x.Partition.Index]
	if !ok {
		return UnknownTopic
	}
	if x.Offset > p.LogStart {
		next := *p
		next.LogStart = x.Offset
		s.trim(&next, x.NowMs)
		s.put(x.Partition, &next, ch)
	}
	return OK
}

// trim removes the objects entirely below the log start from the manifest, and the epochs that
// ended at or below it.
func (s *Shard) trim(p *meta.Partition, nowMs int64) {
	p.Epochs = meta.EpochsFrom(p.Epochs, p.LogStart)
	for len(p.Objects) > 0 && p.Objects[0].End <= p.LogStart {
		s.release(p.Objects[0].ID, nowMs)
		p.Objects = p.Objects[1:]
	}
	if len(p.Objects) == 0 {
		p.Objects = nil
	}
}

func (s *Shard) drop(x *DropTopic, ch *Changes) {
	parts := s.topics[x.Topic]
	for _, index := range slices.Sorted(maps.Keys(parts)) {
		for _, ref := range parts[index].Objects {
			s.release(ref.ID, x.NowMs)
		}
		s.exchange(parts[index].Producers.Sections, nil, x.NowMs)
		ch.Partitions = append(ch.Partitions, PartitionChange{topic.Partition{Topic: x.Topic, Index: index}, nil})
	}
	delete(s.topics, x.Topic)
	s.clearTopic(x.Topic, ch)
}
