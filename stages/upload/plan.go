package upload

import (
	"fmt"
	"sort"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// part is one partition's range in an object.
type part struct {
	state   *partition.State
	entries []partition.Entry // contiguous from the tier end
	bytes   int64
}

// segment is one object to be.
type segment struct {
	id    meta.ObjectID
	parts []part
	pace  *pace
}

// size is how many bytes the object will have.
func (s *segment) size() int64 {
	var o object.Sizer
	for _, p := range s.parts {
		for _, e := range p.entries {
			o.Append(p.state.ID, int(e.Size))
		}
	}
	return o.Size()
}

func (s *segment) partitions() []topic.Partition {
	ids := make([]topic.Partition, len(s.parts))
	for i, p := range s.parts {
		ids[i] = p.state.ID
	}
	return ids
}

// plan divides a cut into objects: one for each partition with own bytes or
// more, one for all others. Partitions that were deleted meanwhile are left out.
func plan(c *Cut, own int64) ([]*segment, error) {
	var out []*segment
	shared := &segment{id: meta.NewObjectID(), pace: c.pace}
	for _, s := range c.States {
		if s.Deleted() {
			continue
		}
		p, err := partOf(s, c.End)
		if err != nil {
			return nil, err
		}
		switch {
		case len(p.entries) == 0:
		case p.bytes >= own:
			out = append(out, &segment{id: meta.NewObjectID(), parts: []part{p}, pace: c.pace})
		default:
			shared.parts = append(shared.parts, p)
		}
	}
	if len(shared.parts) > 0 {
		sort.Slice(shared.parts, func(i, j int) bool { return less(shared.parts[i].state.ID, shared.parts[j].state.ID) })
		out = append(out, shared)
	}
	return out, nil
}

func less(a, b topic.Partition) bool {
	if a.Topic != b.Topic {
		return string(a.Topic[:]) < string(b.Topic[:])
	}
	return a.Index < b.Index
}

func partOf(s *partition.State, end partition.Position) (part, error) {
	p := part{state: s, entries: s.Tail.Below(end, s.TierEnd())}
	next := s.TierEnd()
	for _, e := range p.entries {
		if e.Base != next {
			return part{}, fmt.Errorf("%s: the WAL continues at offset %d where %d is expected; records between are missing", s.ID, e.Base, next)
		}
		next = e.End()
		p.bytes += int64(e.Size)
	}
	return p, nil
}
