package unreadable

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

const (
	// again is the least time between two lines about a place that keeps failing.
	again = time.Hour
	// awayAgain is the same for an unavailable store.
	awayAgain = 5 * time.Minute
	// linesAtOnce bounds the lines in a minute.
	linesAtOnce = 30
	// named is how many partitions of an object a line names.
	named = 16
)

// lines limits the log lines in a minute.
type lines struct {
	since   time.Time
	n       int
	dropped int // lines dropped since the last one that was written
}

func (l *lines) take(now time.Time) bool {
	if now.Sub(l.since) >= time.Minute {
		l.since, l.n = now, 0
	}
	if l.n++; l.n > linesAtOnce {
		l.dropped++
		return false
	}
	return true
}

// say logs that a place is missing or damaged: when it starts, when it becomes lasting,
// and then every so often. REQUIRES: mu.
func (t *Tracker) say(x *incident, now time.Time, began bool) {
	if !began && !x.logged.IsZero() && now.Sub(x.logged) < again {
		return
	}
	if !t.lines.take(now) {
		return
	}
	text := "records cannot be read; clients that want them are told to try again"
	if x.err.Lasting {
		text = "records cannot be read, and that has lasted: clients that want them get an error until they are restored or given up; see \"An object cannot be read\" in docs/operations.md"
	}
	attrs := append(t.where(x.err.Place), "reason", x.err.Reason, "err", x.err.Err, "attempts", x.attempts-x.said)
	if t.lines.dropped > 0 {
		attrs = append(attrs, "lines_left_out", t.lines.dropped)
	}
	t.lines.dropped, x.logged, x.said = 0, now, x.attempts
	t.deps.Log.Error(text, attrs...)
}

// sayAway logs that the store denies access or does not answer. REQUIRES: mu.
func (t *Tracker) sayAway(x *incident, now time.Time) {
	o := &t.away[x.err.Reason]
	if now.Sub(o.last) > awayAgain { // another one
		*o = outage{}
	}
	o.reads++
	o.last = now
	if !o.logged.IsZero() && now.Sub(o.logged) < awayAgain {
		return
	}
	text := "the object store does not answer reads; clients are told to try again until it does"
	if x.err.Reason == Denied {
		text = "the object store denies reads; clients are told to try again until somebody changes that"
	}
	t.deps.Log.Error(text, append(t.where(x.err.Place), "reason", x.err.Reason, "err", x.err.Err, "reads", o.reads)...)
	o.logged, o.reads = now, 0
}

// where returns the log attributes of a place.
func (t *Tracker) where(p Place) []any {
	var attrs []any
	if p.Object == (meta.ObjectID{}) {
		attrs = append(attrs, "where", "wal")
	} else {
		attrs = append(attrs, "object", p.Object)
	}
	all := t.deps.Records(p)
	if len(all) == 0 {
		return append(attrs, "topic_id", p.Partition.Topic, "partition", p.Partition.Index, "from_offset", p.Base, "to_offset", p.End-1)
	}
	first := all[0]
	attrs = append(attrs, "topic", first.Topic, "partition", first.Partition, "from_offset", first.Base, "to_offset", first.End-1)
	if len(all) == 1 {
		return attrs
	}
	var others []string
	for _, r := range all[1:min(len(all), named)] {
		others = append(others, r.String())
	}
	return append(attrs, "also", others, "partitions", len(all))
}
