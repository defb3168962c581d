package machine

import (
	"maps"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// changeGroup changes a group on behalf of its coordinator, if that is the last one.
func (s *Shard) changeGroup(x *ChangeGroup, ch *Changes) Code {
	if x.Epoch != s.coordinator.Epoch {
		return Conflict
	}
	old, there := s.groups[x.Name]
	c := x.Change
	if c.Delete {
		if there {
			delete(s.groups, x.Name)
			ch.Groups = append(ch.Groups, GroupChange{x.Name, nil})
		}
		return OK
	}
	if !there {
		if c.State == nil && len(c.Set) == 0 {
			return OK
		}
		old = &meta.Group{Name: x.Name}
	}
	next := *old
	if c.State != nil {
		next = *c.State
		next.Name, next.Offsets = x.Name, old.Offsets
	}
	if len(c.Set) > 0 || len(c.Clear) > 0 {
		next.Offsets = make(map[topic.Partition]meta.CommittedOffset, len(old.Offsets)+len(c.Set))
		maps.Copy(next.Offsets, old.Offsets)
		maps.Copy(next.Offsets, c.Set)
		for _, p := range c.Clear {
			delete(next.Offsets, p)
		}
	}
	s.putGroup(&next, ch)
	return OK
}

func (s *Shard) putGroup(g *meta.Group, ch *Changes) {
	s.groups[g.Name] = g
	ch.Groups = append(ch.Groups, GroupChange{g.Name, g})
}

// clearTopic removes the offsets that groups committed for a topic.
func (s *Shard) clearTopic(id topic.ID, ch *Changes) {
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		has := false
		for p := range g.Offsets {
			has = has || p.Topic == id
		}
		if !has {
			continue
		}
		next := *g
		next.Offsets = maps.Clone(g.Offsets)
		maps.DeleteFunc(next.Offsets, func(p topic.Partition, _ meta.CommittedOffset) bool { return p.Topic == id })
		s.putGroup(&next, ch)
	}
}
