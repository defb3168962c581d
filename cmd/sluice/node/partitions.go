package node

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/replica"
)

// views publishes the cluster's metadata.
type views interface {
	View() *meta.View
	Changed() <-chan struct{}
}

// partitions keeps the table of partition states up to date with the metadata: one for each
// partition of which this broker is a replica, no matter which broker leads it.
type partitions struct {
	table  partition.Table
	broker int32
	meta   views
	index  *memory.Account // of all tail indexes
	idem   *producers

	replicas *replica.Set

	recovering bool // the WAL is not replayed yet

	applying sync.Mutex // held while applying a view to the states
	applied  *meta.View // the last view applied; nil: none

	mu sync.Mutex
	// kept has the partitions with batches in the WAL that no state knows of. True: they are void,
	// should the partition be assigned to this broker again.
	kept map[topic.Partition]bool
}

func newPartitions(broker int32, incarnation uint64, m views, index *memory.Account, idem *producers) *partitions {
	p := &partitions{broker: broker, meta: m, index: index, idem: idem, recovering: true, replicas: replica.New(broker, incarnation, replica.DefaultConfig()), kept: make(map[topic.Partition]bool)}
	p.table.Open, p.table.Opened = p.state, p.opened
	return p
}

// replica reports whether this broker keeps a copy of the partition's records.
func (p *partitions) replica(m *meta.Partition) bool { return slices.Contains(m.Replicas, p.broker) }

// state creates the state of a partition of which this broker is a replica. Offline partitions
// have none, since nothing is known about them.
func (p *partitions) state(id topic.Partition) *partition.State {
	view := p.meta.View()
	m, ok := view.Partition(id)
	if !ok || m.Offline || !p.replica(m) {
		return nil
	}
	s := partition.NewState(id, m.Epoch, m.LogStart, p.first(m))
	s.SetLeads(m.Leader == p.broker)
	if p.isUnknown(id) {
		s.Lose(ErrNotReplayed)
	}
	s.Tail.ChargeTo(p.index)
	for _, e := range m.Epochs {
		s.NoteEpoch(e.Epoch, e.Start)
	}
	if t, ok := view.TopicByID(id.Topic); ok {
		s.Configure(partition.SettingsOf(t.Configs))
	}
	if !p.recovering {
		start := s.TierEnd()
		log := replication.Log{Start: start, Durable: start, Appended: start, PrevEpoch: epochBefore(m.Epochs, start)}
		p.replicas.Open(s, log, p.wasMoved(id))
		p.lead(s, m, view)
	}
	return s
}

// lead has the replica of s follow or lead, as view says.
func (p *partitions) lead(s *partition.State, m *meta.Partition, view *meta.View) {
	rec := replication.RecordOf(m)
	rec.TierEnd = max(m.TierEnd, s.TierEnd()) // what is below the state's is in objects or deleted
	p.replicas.Apply(s, rec, registry{view})
}

// registry is the brokers of a view.
type registry struct{ *meta.View }

// Live returns the incarnation of a broker, and whether it is not fenced.
func (r registry) Live(broker int32) (incarnation uint64, ok bool) {
	for _, b := range r.Brokers {
		if b.ID == broker {
			return b.Incarnation, !b.Fenced
		}
	}
	return 0, false
}

// epochBefore returns the epoch of the record before an offset.
func epochBefore(epochs []meta.EpochStart, offset int64) int32 {
	before := replication.NoEpoch
	for _, e := range epochs {
		if e.Start < offset {
			before = e.Epoch
		}
	}
	return before
}

// producers returns the idempotent producers of a partition.
func (p *partitions) producers(s *partition.State) *idempotence.Producers { return p.idem.of(s.ID) }

// first returns the offset at which a partition starts in the WAL: the tier end. But once recovery
// is over, a partition without records in the WAL starts no lower than its log start: if everything
// up to that is deleted, records below it would be invisible.
func (p *partitions) first(m *meta.Partition) int64 {
	if p.recovering {
		return m.TierEnd
	}
	return max(m.TierEnd, m.LogStart)
}

// gone reports whether the deletion of a topic is recorded.
func (p *partitions) gone(id topic.ID) bool {
	_, deleted := p.meta.View().Deleted[id]
	return deleted
}

// keep remembers that the WAL has batches of a partition that no state knows of, because it has
// moved to other brokers, or because the metadata does not say anything of it.
func (p *partitions) keep(id topic.Partition, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[id] = moved
}

func (p *partitions) isUnknown(id topic.Partition) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved, ok := p.kept[id]
	return ok && !moved
}

// wasMoved reports whether the WAL may have batches of an earlier time as a replica. The caller
// makes them void.
func (p *partitions) wasMoved(id topic.Partition) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := p.kept[id]
	if moved {
		delete(p.kept, id)
	}
	return moved
}

// done reports whether the WAL may drop a partition's records below offset end: they are
// committed and in objects, where readers look for them, or the topic is deleted, or this broker
// is no longer a replica of the partition. An offline partition may be neither.
func (p *partitions) done(id topic.Partition, end int64) bool {
	view := p.meta.View()
	m, ok := view.Partition(id)
	if !ok { // nothing is dropped without a recorded deletion
		_, deleted := view.Deleted[id.Topic]
		return deleted
	}
	if s, ok := p.table.Loaded(id); ok {
		return min(s.TierEnd(), s.HighWatermark()) >= end
	}
	return !m.Offline && (m.TierEnd >= end || !p.replica(m))
}

// follow applies every new view until ctx is done, and notifies the WAL after each, since it may
// hold deleted data.
func (p *partitions) follow(ctx context.Context, applied func()) {
	for {
		changed := p.meta.Changed()
		for _, id := range p.apply() {
			p.table.Get(id)
		}
		applied()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// apply updates the states in the table from the current view. The first call visits all states,
// later ones only those of topics that have changed.
//
// It returns the partitions that need a state now, since other brokers have replicas of them too;
// those of all others are created when they are first used.
func (p *partitions) apply() (shared []topic.Partition) {
	p.applying.Lock()
	defer p.applying.Unlock()
	view := p.meta.View()
	if p.applied == nil {
		p.table.All(func(s *partition.State) bool {
			p.move(s, view)
			return true
		})
		for _, t := range view.Topics() {
			shared = p.addShared(shared, t)
		}
	} else {
		for was, is := range view.ChangedFrom(p.applied) {
			p.applyTopic(view, was, is)
			if is != nil {
				shared = p.addShared(shared, is)
			}
		}
	}
	p.applied = view
	return shared
}

// addShared adds the partitions of a topic that are replicated here and elsewhere, and have no
// state yet.
func (p *partitions) addShared(all []topic.Partition, t *meta.Topic) []topic.Partition {
	for i, m := range t.Partitions {
		if len(m.Replicas) < 2 || m.Offline || !p.replica(m) {
			continue
		}
		id := topic.Partition{Topic: t.ID, Index: int32(i)}
		if _, ok := p.table.Loaded(id); !ok {
			all = append(all, id)
		}
	}
	return all
}

// applyTopic updates the states of a topic whose record, or whose partitions' records, have
// changed.
func (p *partitions) applyTopic(view *meta.View, was, is *meta.Topic) {
	var before, now []*meta.Partition
	id, configured := topic.ID{}, false
	if was != nil {
		id, before = was.ID, was.Partitions
	}
	if is != nil {
		id, now = is.ID, is.Partitions
		configured = was != nil && !maps.Equal(was.Configs, is.Configs)
	}
	for index := range max(len(before), len(now)) {
		if index < len(before) && index < len(now) && before[index] == now[index] && !configured {
			continue
		}
		if s, ok := p.table.Loaded(topic.Partition{Topic: id, Index: int32(index)}); ok {
			p.move(s, view)
		}
	}
}

// opened updates a state that was created from a view possibly older than the last applied.
func (p *partitions) opened(s *partition.State) {
	p.applying.Lock()
	defer p.applying.Unlock()
	p.move(s, p.meta.View())
}

// move updates a state from its partition in view, or removes it if this broker is no longer a
// replica of the partition. REQUIRES: applying is held.
func (p *partitions) move(s *partition.State, view *meta.View) {
	m, ok := view.Partition(s.ID)
	switch {
	case ok && m.Offline:
		s.SetLeads(false)
		return
	case !ok || !p.replica(m):
		why := meta.ErrUnknownTopic
		if ok {
			s.SetLeads(false)
			p.keep(s.ID, true)
			why = replication.ErrNotLeader
		}
		p.table.Remove(s.ID)
		p.replicas.Close(s, why)
		p.idem.close(s.ID)
		return
	}
	s.SetEpoch(m.Epoch)
	s.SetLeads(m.Leader == p.broker)
	s.SetLogStart(m.LogStart)
	if !s.Leads() { // a leader does so with each of its uploads
		s.SetTierEnd(m.TierEnd)
		s.Tail.Trim(s.TierEnd())
	}
	if !p.recovering {
		p.lead(s, m, view)
		p.replicas.Reclaimed(s, s.TierEnd())
	}
	t, _ := view.TopicByID(s.ID.Topic)
	if c := partition.SettingsOf(t.Configs); *s.Settings() != c {
		s.Configure(c)
	}
}
