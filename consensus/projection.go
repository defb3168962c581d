package consensus

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// projection folds the changes of all shards into one View. State machines add changes; publish
// makes them visible. One publish takes all pending changes, and copies the partition list of
// each changed topic (meta.View.Next).
//
// A topic is in the View with the partitions below its record's Count, once the shards have all
// of them.
type projection struct {
	shards  int
	offline map[int]error // shards that were not started
	view    atomic.Pointer[meta.View]
	next    atomic.Pointer[chan struct{}] // closed at the next View
	woken   chan struct{}                 // capacity 1: publish has work to do
	groups  groupTable

	mu      sync.Mutex
	cluster machine.Cluster
	leases  []meta.Coordinator // by partition shard, from 0; replaced, never modified
	// sessions are those of the shards; replaced, never modified.
	sessions []meta.Sessions
	topics   map[topic.ID]*machine.Topic // all records, including unfinished and deleted ones
	parts    map[topic.ID]*records
	stale    map[topic.ID]struct{} // to be rebuilt
	whole    bool                  // all online shards have reported
	deleted  map[topic.ID]struct{} // recorded deletions; replaced, never modified
	changed  bool                  // the View is out of date, apart from stale
}

func newProjection(shards int, offline map[int]error) *projection {
	p := &projection{shards: shards, offline: offline, woken: make(chan struct{}, 1), topics: make(map[topic.ID]*machine.Topic),
		parts: make(map[topic.ID]*records), stale: make(map[topic.ID]struct{})}
	p.groups.all = make(map[string]*meta.Group)
	next := make(chan struct{})
	p.next.Store(&next)
	p.sessions, p.leases = make([]meta.Sessions, shards), make([]meta.Coordinator, shards)
	for i := range p.leases {
		p.leases[i].Broker = meta.NoBroker
	}
	view := meta.NewView(0, "", -1, nil, nil)
	view.Sessions, view.Coordinators = p.sessions, p.leases
	p.view.Store(view)
	return p
}

// started means that all online shards have reported. A partition missing then is in an offline
// shard, or was lost with one.
func (p *projection) started() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole = true
	for id := range p.topics {
		p.stale[id] = struct{}{}
	}
}

// wake has the changes published soon, for readers that did not propose them.
func (p *projection) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// root adds changes of shard 0.
func (p *projection) root(ch machine.RootChanges) {
	p.mu.Lock()
	p.fold(ch)
	p.mu.Unlock()
	p.wake()
}

// resetRoot replaces the state of shard 0.
func (p *projection) resetRoot(all machine.RootChanges) {
	p.mu.Lock()
	for id := range p.topics {
		p.stale[id] = struct{}{}
	}
	clear(p.topics)
	p.deleted = nil
	p.fold(all)
	p.mu.Unlock()
	p.wake()
}

func (p *projection) fold(ch machine.RootChanges) {
	if ch.Cluster != nil {
		p.cluster, p.changed = *ch.Cluster, true
	}
	for _, t := range ch.Topics {
		p.stale[t.ID] = struct{}{}
		if t.Now == nil {
			delete(p.topics, t.ID)
		} else {
			p.topics[t.ID] = t.Now
		}
	}
	p.foldDeleted(ch)
}

// foldDeleted updates the recorded deletions: tombstones, and forgotten topics.
func (p *projection) foldDeleted(ch machine.RootChanges) {
	removed := slices.ContainsFunc(ch.Topics, func(t machine.TopicChange) bool { return t.Now == nil || t.Now.Deleted })
	if !removed && p.deleted != nil {
		return
	}
	deleted := make(map[topic.ID]struct{}, len(p.cluster.Gone))
	for _, id := range p.cluster.Gone {
		deleted[id] = struct{}{}
	}
	for id, t := range p.topics {
		if t.Deleted {
			deleted[id] = struct{}{}
		}
	}
	p.deleted, p.changed = deleted, true
}

// shard adds changes of a partition shard, from 1.
func (p *projection) shard(shard int, ch machine.Changes) {
	p.groups.put(ch.Groups)
	if len(ch.Partitions) == 0 && ch.Sessions == nil && ch.Coordinator == nil {
		return
	}
	p.mu.Lock()
	p.foldParts(ch.Partitions)
	p.foldBrokers(shard-1, ch)
	p.mu.Unlock()
	p.wake()
}

// resetShard replaces the state of a partition shard, from 1.
func (p *projection) resetShard(shard int, all machine.Changes) {
	p.groups.reset(all.Groups, func(name string) bool { return machine.ShardOfGroup(name, p.shards)+1 == shard })
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, parts := range p.parts {
		for index, m := range parts.all {
			if m != nil && machine.ShardOf(topic.Partition{Topic: id, Index: int32(index)}, p.shards)+1 == shard {
				parts.put(int32(index), nil)
				p.stale[id] = struct{}{}
			}
		}
		if parts.known == 0 {
			delete(p.parts, id)
		}
	}
	p.foldParts(all.Partitions)
	p.foldBrokers(shard-1, all)
	p.wake()
}

func (p *projection) foldBrokers(shard int, ch machine.Changes) {
	if ch.Sessions != nil {
		p.sessions = slices.Clone(p.sessions)
		p.sessions[shard], p.changed = ch.Sessions, true
	}
	if ch.Coordinator != nil {
		p.leases = slices.Clone(p.leases)
		p.leases[shard], p.changed = *ch.Coordinator, true
	}
}

func (p *projection) foldParts(changes []machine.PartitionChange) {
	for _, c := range changes {
		id := c.ID.Topic
		p.stale[id] = struct{}{}
		parts := p.parts[id]
		if parts == nil {
			parts = new(records)
			p.parts[id] = parts
		}
		parts.put(c.ID.Index, c.Now)
		if parts.known == 0 {
			delete(p.parts, id)
		}
	}
}

// records are the partition records of a topic, as far as shards have reported them.
type records struct {
	all   []*meta.Partition // by index
	known int               // number of non-nil ones
}

// put sets the record of a partition; nil removes it.
func (p *records) put(index int32, m *meta.Partition) {
	for int(index) >= len(p.all) {
		p.all = append(p.all, nil)
	}
	if p.all[index] != nil {
		p.known--
	}
	if p.all[index] = m; m != nil {
		p.known++
	}
}

// first returns the records of the first n partitions, nil where one is missing.
func (p *records) first(n int32) []*meta.Partition {
	out := make([]*meta.Partition, n)
	if p != nil {
		copy(out, p.all)
	}
	return out
}

// publish makes everything visible that was added before the call.
func (p *projection) publish() (published bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	view := p.view.Load()
	var put []*meta.Topic
	var removed []topic.ID
	for id := range p.stale {
		old, _ := view.TopicByID(id)
		switch now := p.build(id, old); {
		case now == old: // most steps of a topic's creation change nothing visible
		case now == nil:
			removed = append(removed, id)
		default:
			put = append(put, now)
		}
	}
	p.stale = make(map[topic.ID]struct{}) // a cleared map keeps its capacity, and is slow to iterate
	if !p.changed && len(put)+len(removed) == 0 {
		return false
	}
	p.changed = false
	view = view.Next(put, removed)
	view.ClusterID, view.Brokers, view.Controller = p.cluster.ID, p.cluster.Brokers, -1
	if i := slices.IndexFunc(p.cluster.Brokers, func(b meta.Broker) bool { return !b.Fenced }); i >= 0 {
		view.Controller = p.cluster.Brokers[i].ID
	}
	view.Sessions, view.Coordinators = p.sessions, p.leases
	view.Throttles, view.Controllers, view.Feature = p.cluster.Throttles, p.cluster.Controllers, p.cluster.Feature
	view.WALs, view.Starts, view.Claims, view.Deleted = p.cluster.WALs, p.cluster.Starts, p.cluster.Claims, p.deleted
	p.view.Store(view)
	next := make(chan struct{})
	close(*p.next.Swap(&next))
	return true
}

// build returns a topic as clients see it; nil while it does not exist for them. A topic whose
// partitions are not all here yet stays as it was; partitions whose state cannot be known are
// included, offline.
func (p *projection) build(id topic.ID, old *meta.Topic) *meta.Topic {
	t, ok := p.topics[id]
	if !ok || t.Deleted || t.Count == 0 {
		return nil
	}
	parts := p.parts[id]
	now := &meta.Topic{Name: t.Name, ID: id, Internal: t.Internal, Configs: t.Configs, Partitions: parts.first(t.Count)}
	if parts != nil && parts.known == len(parts.all) && len(parts.all) >= int(t.Count) {
		return now
	}
	for i, m := range now.Partitions {
		if m != nil {
			continue
		}
		if !p.whole || p.known(old, i) {
			return old
		}
		now.Partitions[i] = &meta.Partition{Leader: -1, Epoch: -1, Replicas: t.Place(int32(i)), Offline: true}
	}
	return now
}

// known reports whether a topic was visible with a partition that is not offline.
func (p *projection) known(t *meta.Topic, index int) bool {
	return t != nil && index < len(t.Partitions) && !t.Partitions[index].Offline
}

// topic returns a topic's record, published or not.
func (p *projection) topic(id topic.ID) (*machine.Topic, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.topics[id]
	return t, ok
}

// unfinished returns the topics that need a repair: unfinished by their records, and partitions
// without a topic record, unless shard 0 may have lost that.
func (p *projection) unfinished() (topics []*machine.Topic, orphans []topic.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.topics {
		if t.Unfinished() {
			topics = append(topics, t)
		}
	}
	for id := range p.parts {
		if _, ok := p.topics[id]; !ok && !p.cluster.Lossy {
			orphans = append(orphans, id)
		}
	}
	return topics, orphans
}

// groupTable holds the groups of all shards.
type groupTable struct {
	mu  sync.RWMutex
	all map[string]*meta.Group
}

func (g *groupTable) put(changes []machine.GroupChange) {
	if len(changes) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fold(changes)
}

func (g *groupTable) fold(changes []machine.GroupChange) {
	for _, c := range changes {
		if c.Now == nil {
			delete(g.all, c.Name)
		} else {
			g.all[c.Name] = c.Now
		}
	}
}

// reset replaces the groups for which of returns true. It is atomic for readers: a group that
// is in both sets never disappears.
func (g *groupTable) reset(changes []machine.GroupChange, of func(name string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name := range g.all {
		if of(name) {
			delete(g.all, name)
		}
	}
	g.fold(changes)
}

func (g *groupTable) get(name string) (*meta.Group, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	group, ok := g.all[name]
	return group, ok
}

func (g *groupTable) list() []*meta.Group {
	g.mu.RLock()
	defer g.mu.RUnlock()
	groups := make([]*meta.Group, 0, len(g.all))
	for _, group := range g.all {
		groups = append(groups, group)
	}
	return groups
}
