package machine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Each producer section of a partition is one reference to the object that contains it, like a
// range in a manifest.

// sectionsOpen reports whether the objects of new sections can still be committed.
func (s *Shard) sectionsOpen(old, now []meta.ProducerSection, nowMs int64) bool {
	for _, x := range now {
		if !slices.Contains(old, x) && !s.open(x.Object, nowMs) {
			return false
		}
	}
	return true
}

// exchange adds references for new sections and releases those of removed ones.
func (s *Shard) exchange(old, now []meta.ProducerSection, nowMs int64) {
	for _, x := range now {
		if !slices.Contains(old, x) {
			o := s.objects[x.Object]
			o.refs++
			s.objects[x.Object] = o
		}
	}
	for _, x := range old {
		if !slices.Contains(now, x) {
			s.release(x.Object, nowMs)
		}
	}
}

// expireProducers drops the sections without a remembered producer.
func (s *Shard) expireProducers(x *ExpireProducers, ch *Changes) {
	for _, id := range slices.SortedFunc(maps.Keys(s.topics), compareTopics) {
		for _, index := range slices.SortedFunc(maps.Keys(s.topics[id]), cmp.Compare[int32]) {
			p := s.topics[id][index]
			if !expiredSections(p, x.BeforeMs) {
				continue
			}
			next := *p
			next.Producers.Sections = slices.DeleteFunc(slices.Clone(p.Producers.Sections),
				func(y meta.ProducerSection) bool { return y.NewestMs < x.BeforeMs })
			if len(next.Producers.Sections) == 0 {
				next.Producers.Sections = nil
			}
			s.exchange(p.Producers.Sections, next.Producers.Sections, x.NowMs)
			s.put(topic.Partition{Topic: id, Index: index}, &next, ch)
		}
	}
}

func expiredSections(p *meta.Partition, beforeMs int64) bool {
	return slices.ContainsFunc(p.Producers.Sections, func(x meta.ProducerSection) bool { return x.NewestMs < beforeMs })
}

// HasExpiredProducers reports whether ExpireProducers would drop anything.
func (s *Shard) HasExpiredProducers(beforeMs int64) bool {
	for _, parts := range s.topics {
		for _, p := range parts {
			if expiredSections(p, beforeMs) {
				return true
			}
		}
	}
	return false
}
