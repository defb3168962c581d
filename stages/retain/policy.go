package retain

import (
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Policy is how long records are kept.
type Policy struct {
	Ms    int64 // retention.ms; below 0: unlimited
	Bytes int64 // retention.bytes; below 0: unlimited
}

// PolicyOf returns the policy in a topic's configs; ok is false if nothing is
// ever deleted.
func PolicyOf(configs map[string]string) (p Policy, ok bool) {
	v := topic.Values(configs)
	p = Policy{Ms: v.Int(topic.RetentionMs), Bytes: v.Int(topic.RetentionBytes)}
	return p, v.Has(topic.CleanupPolicy, topic.CleanupDelete) && (p.Ms >= 0 || p.Bytes >= 0)
}

// Tail is what is committed but not in an object.
type Tail struct {
	End          int64 // the high watermark
	Bytes        int64
	MaxTimestamp int64 // -1: no record has one
}

// Partition is a partition as seen by retention.
type Partition struct {
	Start   int64
	TierEnd int64
	Objects []meta.ObjectRef // contiguous up to TierEnd
	Tail    Tail
}

// Decision is where a log should start.
type Decision struct {
	Start  int64
	Bytes  int64 // of the objects and the tail below Start
	Reason string
}

// Why the log start was raised.
const (
	ByTime = "time"
	BySize = "size"
)

// Start decides where l should start at nowMs; ok is false if it stays. It is
// either the end of an object or the end of the log.
func (p Policy) Start(l Partition, nowMs int64) (c Decision, ok bool) {
	objects, reason := p.expired(l.Objects, nowMs), ByTime
	if n := p.excess(l); n > objects {
		objects, reason = n, BySize
	}
	c = Decision{Start: l.Start, Reason: reason}
	for _, o := range l.Objects[:objects] {
		c.Start, c.Bytes = o.End, c.Bytes+o.Bytes
	}
	// What is not in an object is usually young; it is treated as one more object.
	if objects == len(l.Objects) && p.old(l.Tail.MaxTimestamp, nowMs) && l.Tail.End > max(l.TierEnd, c.Start) {
		c.Start, c.Bytes, c.Reason = l.Tail.End, c.Bytes+l.Tail.Bytes, ByTime
	}
	return c, c.Start > l.Start
}

func (p Policy) old(timestamp, nowMs int64) bool {
	return p.Ms >= 0 && timestamp >= 0 && timestamp < nowMs-p.Ms
}

// expired returns how many objects are too old.
func (p Policy) expired(objects []meta.ObjectRef, nowMs int64) (n int) {
	for n < len(objects) && p.old(objects[n].NewestMs(), nowMs) {
		n++
	}
	return n
}

// excess returns how many objects can go while at least p.Bytes remain.
func (p Policy) excess(l Partition) (n int) {
	if p.Bytes < 0 {
		return 0
	}
	left := l.Tail.Bytes
	for _, o := range l.Objects {
		left += o.Bytes
	}
	for _, o := range l.Objects {
		if left -= o.Bytes; left < p.Bytes {
			break
		}
		n++
	}
	return n
}
