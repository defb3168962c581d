package logmetrics

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// markEvery is the interval between marks, and so the precision of lag in seconds for recent
// records.
const markEvery = 5 * time.Second

// Run takes marks until ctx is done.
func (c *Collector) Run(ctx context.Context) {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		c.mark()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// mark takes a mark of each partition that needs them and forgets the other partitions.
func (c *Collector) mark() {
	now := c.clock.Now().UnixMilli()
	listed, _ := c.groups()
	wanted := make(map[topic.Partition]bool)
	for _, g := range listed {
		for p := range g.Offsets {
			wanted[p] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.marks {
		if !wanted[p] {
			delete(c.marks, p)
		}
	}
	for p := range wanted {
		if s, ok := c.table.Loaded(p); ok { // else nothing was written to it since the start
			c.marksOf(s, now).note(s.HighWatermark(), now)
		}
	}
}

// marksOf returns the marks of a partition, initially those from its tail index. The caller
// holds mu.
func (c *Collector) marksOf(s *partition.State, now int64) *marks {
	m := c.marks[s.ID]
	if m == nil {
		m = fromTail(s, now)
		c.marks[s.ID] = m
	}
	return m
}

// fromTail derives marks from the timestamps in a tail index.
func fromTail(s *partition.State, now int64) *marks {
	m := &marks{}
	start, ok := s.Tail.Start()
	if !ok {
		return m
	}
	end := s.HighWatermark()
	for e := range s.Tail.Entries(start, end) {
		if e.MaxTimestamp < 0 {
			continue
		}
		if len(m.all) == 0 {
			m.note(e.Base, min(e.MaxTimestamp, now))
		}
		m.note(min(e.End(), end), min(e.MaxTimestamp, now))
	}
	return m
}

// groups returns the groups with their own series, and all others. Either all partitions of a
// group have series or none.
func (c *Collector) groups() (listed, others []*meta.Group) {
	all := c.meta.Groups()
	slices.SortFunc(all, func(a, b *meta.Group) int { return strings.Compare(a.Name, b.Name) })
	left := c.cfg.MaxSeries
	for _, g := range all {
		if n := len(g.Offsets); n <= left && len(g.Name) <= maxLabel && utf8.ValidString(g.Name) {
			listed, left = append(listed, g), left-n
		} else {
			others = append(others, g)
		}
	}
	return listed, others
}

// behind returns how many records of a partition are after the committed offset of a group, and
// the first of them. ok is false if the partition is gone or another broker leads it.
func (c *Collector) behind(view *meta.View, p topic.Partition, committed int64) (records, next int64, ok bool) {
	m, ok := view.Partition(p)
	if !ok || m.Offline || m.Leader != c.broker {
		return 0, 0, false
	}
	start, end := c.bounds(p, m)
	if next = max(committed, start); committed >= 0 {
		return max(0, end-committed), next, true
	}
	return end - next, next, true
}

// age estimates how long a record has been in the log, in seconds. The caller holds mu.
func (c *Collector) age(view *meta.View, p topic.Partition, offset, now int64) float64 {
	at := now
	var known *marks
	if s, ok := c.table.Loaded(p); ok {
		known = c.marksOf(s, now)
	}
	m, _ := view.Partition(p)
	if m == nil {
		return 0
	} else if since, ok := known.appended(offset); ok {
		at = since
	} else if i, ok := m.ObjectAt(offset); ok {
		at = m.Objects[i].NewestMs()
	} else if known != nil && len(known.all) > 0 {
		at = known.all[0].at // or earlier
	}
	return float64(max(0, now-at)) / 1000
}

// bounds returns the log start and end of a partition, from the metadata if it was not opened
// since the start.
func (c *Collector) bounds(p topic.Partition, m *meta.Partition) (start, end int64) {
	if s, ok := c.table.Loaded(p); ok {
		return s.LogStart(), s.HighWatermark()
	}
	return m.LogStart, max(m.TierEnd, m.LogStart)
}
