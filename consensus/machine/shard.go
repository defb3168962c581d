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
	Partitions  []PartitionChange
	Groups      []GroupChange
	Sessions    meta.Sessions     // nil: unchanged
	Coordinator *meta.Coordinator // nil: unchanged
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
	topics      map[topic.ID]map[int32]*meta.Partition
	minISR      map[topic.ID]MinISR
	sessions    meta.Sessions // replaced, never modified
	coordinator meta.Coordinator
	objects     map[meta.ObjectID]object
	groups      map[string]*meta.Group
}

// NewShard returns the state before the first command.
func NewShard() *Shard {
	return &Shard{topics: make(map[topic.ID]map[int32]*meta.Partition), minISR: make(map[topic.ID]MinISR),
		sessions: make(meta.Sessions), coordinator: meta.Coordinator{Broker: meta.NoBroker},
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
	case *ReadyBroker:
		r.Code = s.readyBroker(x, &ch)
	case *FenceBroker:
		r.Code = s.fenceBroker(x, &ch)
	case *DrainBroker:
		r.Code = s.drainBroker(x, &ch)
	case *LoseReplicas:
		r.Code = s.loseReplicas(x, &ch)
	case *AlterISR:
		r.Parts = s.alterISR(x, &ch)
	case *ElectLeaders:
		r.Parts = s.elect(x, &ch)
	case *SetMinISR:
		r.Code = s.setMinISR(x, &ch)
	case *Reassign:
		r.Parts = s.reassign(x, &ch)
	case *AcquireCoordinator:
		r.Code, r.Number = s.acquireCoordinator(x, &ch)
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
		r.Code = s.changeGroup(x, &ch)
	default:
		err = fmt.Errorf("%w: command %d is not of a partition shard", ErrMalformed, cmd.kind())
	}
	return r, ch, err
}

// All returns the whole state as changes.
func (s *Shard) All() (all Changes) {
	lease := s.coordinator
	all.Sessions, all.Coordinator = s.sessions, &lease
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
	s.setMinISR(&SetMinISR{x.Topic, x.MinISR}, ch)
	if _, known := s.minISR[x.Topic]; !known {
		s.minISR[x.Topic] = x.MinISR
	}
	for _, n := range x.Parts {
		if _, there := s.topics[x.Topic][n.Index]; !there && len(n.Replicas) > 0 {
			s.create(topic.Partition{Topic: x.Topic, Index: n.Index}, n.Replicas, ch)
		}
	}
}

// Replica returns a partition of which a broker has a replica.
func (s *Shard) Replica(broker int32) (id topic.Partition, ok bool) {
	for t, parts := range s.topics {
		for index, p := range parts {
			if slices.Contains(p.Replicas, broker) {
				return topic.Partition{Topic: t, Index: index}, true
			}
		}
	}
	return id, false
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

func sortedKeys[V any](m map[int32]V) []int32 { return slices.Sorted(maps.Keys(m)) }

func (s *Shard) drop(x *DropTopic, ch *Changes) {
	parts := s.topics[x.Topic]
	for _, index := range sortedKeys(parts) {
		for _, ref := range parts[index].Objects {
			s.release(ref.ID, x.NowMs)
		}
		s.exchange(parts[index].Producers.Sections, nil, x.NowMs)
		ch.Partitions = append(ch.Partitions, PartitionChange{topic.Partition{Topic: x.Topic, Index: index}, nil})
	}
	delete(s.topics, x.Topic)
	delete(s.minISR, x.Topic)
	s.clearTopic(x.Topic, ch)
}
