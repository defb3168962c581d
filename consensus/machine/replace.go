package machine

import (
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
)

// trimLog applies retention by the leader. Unlike setLogStart it requires knowledge of the log
// as it is: an offset that is no boundary, or was chosen by an earlier leader, is refused.
func (s *Shard) trimLog(x *TrimLog, ch *Changes) Code {
	p, ok := s.topics[x.Partition.Topic][x.Partition.Index]
	switch {
	case !ok:
		return UnknownTopic
	case x.Epoch != p.Epoch:
		return Conflict
	case x.Offset <= p.LogStart:
		return OK // a repetition, or somebody else went further
	case x.Offset < p.TierEnd && !slices.ContainsFunc(p.Objects, func(o meta.ObjectRef) bool { return o.End == x.Offset }):
		return Conflict
	}
	next := *p
	next.LogStart = x.Offset
	s.trim(&next, x.NowMs)
	s.put(x.Partition, &next, ch)
	return OK
}

// replace changes which objects hold a range of the manifest and nothing else: the range, the
// leader epoch and the state of the new object must be as they were when the replacement was
// planned. A replacement already in the manifest counts as done.
func (s *Shard) replace(x *ReplaceObjects, ch *Changes) Code {
	p, ok := s.topics[x.Partition.Topic][x.Partition.Index]
	if !ok {
		return UnknownTopic
	}
	if slices.Contains(p.Objects, x.New) {
		return OK // a repetition
	}
	at := stretch(p.Objects, x.Old)
	switch {
	case at < 0, x.Epoch != p.Epoch, !s.open(x.New.ID, x.NowMs), x.CleanEnd > p.TierEnd:
		return Conflict
	case x.New.Base != x.Old[0].Base, x.New.End != x.Old[len(x.Old)-1].End:
		return Conflict
	case slices.ContainsFunc(p.Objects, func(o meta.ObjectRef) bool { return o.ID == x.New.ID }):
		return Conflict
	}
	o := s.objects[x.New.ID]
	o.refs++
	s.objects[x.New.ID] = o
	next := *p
	next.Objects = slices.Concat(p.Objects[:at], []meta.ObjectRef{x.New}, p.Objects[at+len(x.Old):])
	next.CleanEnd = max(p.CleanEnd, x.CleanEnd)
	for _, old := range x.Old {
		s.release(old.ID, x.NowMs)
	}
	s.put(x.Partition, &next, ch)
	return OK
}

// stretch returns the index of the consecutive refs old in objects; -1 if it is not there or
// empty.
func stretch(objects, old []meta.ObjectRef) int {
	if len(old) == 0 {
		return -1
	}
	at := slices.Index(objects, old[0])
	if at < 0 || len(objects)-at < len(old) || !slices.Equal(objects[at:at+len(old)], old) {
		return -1
	}
	return at
}
