package node

import (
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// staged publishes a series of views: each call of View returns the next, then always the last.
type staged struct{ views []*meta.View }

func (s *staged) View() *meta.View {
	v := s.views[0]
	if len(s.views) > 1 {
		s.views = s.views[1:]
	}
	return v
}

func (s *staged) Changed() <-chan struct{} { return nil }

func inEpoch(id topic.ID, epoch int32) *meta.Topic {
	return &meta.Topic{Name: "t", ID: id, Partitions: []*meta.Partition{{Leader: 1, Replicas: []int32{1}, Epoch: epoch}, {Leader: 1, Replicas: []int32{1}, Epoch: epoch}}}
}

// Only topics that have changed are visited, and a state created from a view older than the last
// applied is brought up to date.
func TestStatesFollowChangedTopics(t *testing.T) {
	id := topic.NewID()
	first := meta.NewView(1, "c", 1, nil, []*meta.Topic{inEpoch(id, 1)})
	second := first.Next([]*meta.Topic{inEpoch(id, 2)}, nil)
	configured := inEpoch(id, 2)
	configured.Partitions = inEpochOf(second, id)
	configured.Configs = map[string]string{topic.CleanupPolicy: topic.CleanupCompact}
	third := second.Next([]*meta.Topic{configured}, nil)
	gone := third.Next(nil, []topic.ID{id})

	m := &staged{[]*meta.View{first}}
	p := newPartitions(1, 1, m, memory.NewAccount(1<<20), &producers{})
	p.recovering = false
	p.apply()
	m.views = []*meta.View{second}
	p.apply() // before the state is in the table
	m.views = []*meta.View{first, second}
	s, ok := p.table.Get(topic.Partition{Topic: id})
	if !ok || s.Epoch() != 2 {
		t.Fatalf("opened in epoch %d, want 2", s.Epoch())
	}
	m.views = []*meta.View{third}
	if p.apply(); *s.Settings() != partition.SettingsOf(configured.Configs) {
		t.Errorf("settings %+v", s.Settings())
	}
	s.SetEpoch(7) // not from any view
	m.views = []*meta.View{third.Next(nil, nil)}
	if p.apply(); s.Epoch() != 7 {
		t.Error("a topic that has not changed was looked at")
	}
	m.views = []*meta.View{gone}
	p.apply()
	if _, there := p.table.Loaded(topic.Partition{Topic: id}); there || !s.Deleted() {
		t.Error("a topic that is gone is still served")
	}
}

func inEpochOf(v *meta.View, id topic.ID) []*meta.Partition {
	t, _ := v.TopicByID(id)
	return t.Partitions
}

// TestLosingLeadershipKeepsTheLog: a replica keeps its state and its part of the WAL, whether it
// leads or not. Only a broker that is no replica any more lets both go.
func TestLosingLeadershipKeepsTheLog(t *testing.T) {
	id := topic.NewID()
	p := topic.Partition{Topic: id}
	with := func(m meta.Partition) *meta.Topic {
		return &meta.Topic{Name: "t", ID: id, Partitions: []*meta.Partition{&m}}
	}
	view := meta.NewView(1, "c", 1, nil, []*meta.Topic{with(meta.Partition{Leader: 1, Replicas: []int32{1, 2}, Epoch: 1})})
	m := &staged{[]*meta.View{view}}
	parts := newPartitions(1, 1, m, memory.NewAccount(1<<20), &producers{})
	parts.recovering = false
	find := lookup.New(m, &parts.table)
	become := func(is meta.Partition) error {
		view = view.Next([]*meta.Topic{with(is)}, nil)
		m.views = []*meta.View{view}
		parts.apply()
		found, _ := view.TopicByID(id)
		_, err := find.Partition(found, 0)
		return err
	}
	parts.apply()
	s, _ := parts.table.Get(p)
	s.Tail.Append(partition.Entry{Base: 0, Count: 10, Size: 100})
	s.Publish(10)

	if err := become(meta.Partition{Leader: 2, Replicas: []int32{1, 2}, Epoch: 2}); !errors.Is(err, lookup.ErrNotLeader) {
		t.Errorf("a client finds the partition after another broker became its leader: %v", err)
	}
	if bytes, _ := s.Tail.Sum(0, 10); bytes != 100 || s.Deleted() || parts.done(p, 10) {
		t.Errorf("a follower lets go of its log: deleted %v, done %v", s.Deleted(), parts.done(p, 10))
	}
	if err := become(meta.Partition{Leader: 1, Replicas: []int32{1, 2}, Epoch: 3}); err != nil || s.Epoch() != 3 {
		t.Errorf("after leadership returned: %v, epoch %d", err, s.Epoch())
	}
	become(meta.Partition{Leader: 2, Replicas: []int32{1, 2}, Epoch: 4, TierEnd: 4})
	if first, ok := s.Tail.Start(); first != 4 || !ok || !parts.done(p, 4) || parts.done(p, 5) {
		t.Errorf("the leader has uploaded up to 4: the tail starts at %d", first)
	}
	if err := become(meta.Partition{Replicas: []int32{1, 2}, Offline: true}); !errors.Is(err, lookup.ErrNotLeader) || s.Deleted() || parts.done(p, 10) {
		t.Errorf("offline: %v, deleted %v", err, s.Deleted())
	}
	if err := become(meta.Partition{Leader: 2, Replicas: []int32{2, 3}, Epoch: 5}); !errors.Is(err, lookup.ErrNotLeader) || !s.Deleted() || !parts.done(p, 10) {
		t.Errorf("no longer a replica: %v, deleted %v", err, s.Deleted())
	}
}
