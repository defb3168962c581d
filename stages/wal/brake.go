package wal

import (
	"context"
	"time"
)

// A log that fills up faster than it is uploaded would take groups at full speed until
// there is no room, then none until a whole segment is given back, and then again: some
// would wait for as long as the upload of a segment takes, and the first one after such a
// time too. So the last quarter is filled at about the rate at which room is given back, and
// the more slowly the less is left: the log settles where both are the same, in the middle of
// that quarter, and there is room for whoever comes next.
//
// Only a log of eightOrMore segments has a last quarter that says something of the backlog:
// in a smaller one the segment in use and the one being uploaded fill it.
// Nothing is slowed down where no room was given back for a while, as when the
// object store is away: that would only keep the room from use.
const (
	eightOrMore   = 8
	brakeSample   = 100 * time.Millisecond
	brakeMemory   = 2 * time.Second // over which the rate is a mean
	brakePatience = 5 * time.Second // without room given back
	brakeFloor    = 8 << 20         // bytes a second that always pass
	brakeBurst    = 2 * time.Millisecond
)

// brake belongs to the goroutine that builds groups.
type brake struct {
	log  *Log
	soft int64 // bytes in use from where on it works; 0: never

	freed   int64     // that the last sample saw
	sampled time.Time // zero: there was none
	given   time.Time // when room was given back last
	rate    float64   // at which it is, in bytes a second
	due     time.Time // when the next group may pass
}

func newBrake(l *Log) *brake {
	b := &brake{log: l}
	if l.cfg.CapacityBytes >= eightOrMore*l.cfg.SegmentSizeBytes {
		b.soft = l.cfg.CapacityBytes / 4 * 3
	}
	return b
}

// wait holds back a group of n bytes while the log fills up too fast.
func (b *brake) wait(ctx context.Context, n int) error {
	if b.soft == 0 {
		return nil
	}
	now := time.Now()
	b.sample(now)
	used, capacity := b.log.Usage()
	if used < b.soft {
		return nil
	}
	signal(b.log.segments.pressure)
	if b.rate == 0 || now.Sub(b.given) > brakePatience {
		return nil
	}
	left := float64(capacity-used) / float64(capacity-b.soft) // 1 to 0
	rate := max(brakeFloor, b.rate*(0.5+max(0, left)))
	if b.due.Before(now) {
		b.due = now
	}
	ahead := b.due.Sub(now)
	b.due = b.due.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	if ahead < brakeBurst {
		return nil
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.log.failed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	b.log.metrics.braked.Add(time.Since(now).Seconds())
	return nil
}

// sample keeps the rate at which room is given back.
func (b *brake) sample(now time.Time) {
	freed := b.log.segments.freed.Load()
	if b.sampled.IsZero() {
		b.freed, b.sampled, b.given = freed, now, now
	}
	passed := now.Sub(b.sampled)
	if passed < brakeSample {
		return
	}
	if freed > b.freed {
		b.given = now
	}
	share := min(1, float64(passed)/float64(brakeMemory))
	b.rate += (float64(freed-b.freed)/passed.Seconds() - b.rate) * share
	b.freed, b.sampled = freed, now
}
