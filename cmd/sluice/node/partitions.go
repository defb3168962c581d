package node

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/stages/sequence"
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

	recovering bool // the WAL is not replayed yet

	applying sync.Mutex // held while applying a view to the states
	applied  *meta.View // the last view applied; nil: none

	mu        sync.Mutex
	recovered map[topic.Partition]*sequence.Opening // consumed by opening
	// kept has the partitions with batches in the WAL that no state knows of.
	kept map[topic.Partition]struct{}
}

func newPartitions(broker int32, m views, index *memory.Account, idem *producers) *partitions {
	p := &partitions{broker: broker, meta: m, index: index, idem: idem, recovering: true, recovered: make(map[topic.Partition]*sequence.Opening), kept: make(map[topic.Partition]struct{})}
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
	if p.isKept(id) {
		s.Lose(ErrNotReplayed)
	}
	s.Tail.ChargeTo(p.index)
	for _, e := range m.Epochs {
		s.NoteEpoch(e.Epoch, e.Start)
	}
	if t, ok := view.TopicByID(id.Topic); ok {
		s.Configure(partition.SettingsOf(t.Configs))
	}
	return s
}

// opening tells the sequence stage where a partition continues.
func (p *partitions) opening(s *partition.State) sequence.Opening {
	p.mu.Lock()
	o, ok := p.recovered[s.ID]
	delete(p.recovered, s.ID)
	p.mu.Unlock()
	if ok {
		return *o
	}
	return p.fromObjects(s.ID)
}

// fromObjects returns the opening of a partition without records in the WAL.
func (p *partitions) fromObjects(id topic.Partition) sequence.Opening {
	m, ok := p.meta.View().Partition(id)
	if !ok {
		return sequence.Opening{Producers: p.idem.of(id)}
	}
	return sequence.Opening{Next: p.first(m), Producers: p.idem.of(id)}
}

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

// keep remembers that the WAL has batches of a partition that no state knows of.
func (p *partitions) keep(id topic.Partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[id] = struct{}{}
}

func (p *partitions) isKept(id topic.Partition) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.kept[id]
	return ok
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
		p.apply()
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
func (p *partitions) apply() {
	p.applying.Lock()
	defer p.applying.Unlock()
	view := p.meta.View()
	if p.applied == nil {
		p.table.All(func(s *partition.State) bool {
			p.move(s, view)
			return true
		})
	} else {
		for was, is := range view.ChangedFrom(p.applied) {
			p.applyTopic(view, was, is)
		}
	}
	p.applied = view
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
		if ok {
			s.SetLeads(false)
			p.keep(s.ID)
		}
		p.table.Remove(s.ID)
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
	t, _ := view.TopicByID(s.ID.Topic)
	if c := partition.SettingsOf(t.Configs); *s.Settings() != c {
		s.Configure(c)
	}
}
