package node

import (
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/stages/locate"
)

// recordsAt returns the records that the metadata has at an unreadable place; none if they were
// deleted or moved meanwhile.
func (s *storage) recordsAt(p unreadable.Place) []unreadable.Records {
	view := s.meta.View()
	if p.Partition == (topic.Partition{}) {
		return holders(view, p.Object)
	}
	t, ok := view.TopicByID(p.Partition.Topic)
	if !ok {
		return nil
	}
	m, ok := view.Partition(p.Partition)
	if !ok || p.End <= m.LogStart {
		return nil
	}
	here := unreadable.Records{Topic: t.Name, Partition: p.Partition.Index, Base: p.Base, End: p.End}
	i, ok := m.ObjectAt(max(p.Base, m.LogStart))
	if inWAL := p.Object == (meta.ObjectID{}); inWAL == ok || ok && m.Objects[i].ID != p.Object {
		return nil
	}
	return []unreadable.Records{here}
}

// holders returns the parts of an object whose records are still referenced.
func holders(view *meta.View, id meta.ObjectID) (all []unreadable.Records) {
	for _, t := range view.Topics() {
		for i, m := range t.Partitions {
			for _, o := range m.Objects {
				if o.ID == id && o.End > m.LogStart {
					all = append(all, unreadable.Records{Topic: t.Name, Partition: int32(i), Base: o.Base, End: o.End})
				}
			}
		}
	}
	return all
}

// missing returns the error for an offset that is neither in the WAL nor in an object.
func (s *storage) missing(p topic.Partition, offset int64, err error) error {
	return s.tracker.Failed(unreadable.Place{Partition: p, Base: offset, End: offset + 1}, unreadable.Missing, err)
}

// gone explains why no object holds the offset of a read: it was deleted.
func gone(l *locate.Locator) func(*flow.Read) error {
	return func(r *flow.Read) error {
		anew := &flow.Read{State: r.State, Offset: r.Offset, MaxBytes: r.MaxBytes}
		l.Locate(anew, anew.MaxBytes)
		return anew.Err
	}
}
