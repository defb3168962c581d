package wal

import (
	"context"
	"time"
)

// Without a throttle, a log that fills faster than it is uploaded would take groups
// at full speed until it is full, then none until a whole segment is reclaimed,
// and so on: some groups would wait as long as the upload of a segment takes. So
// the last quarter is filled at about the rate at which space is reclaimed, and
// slower the less is left. The fill level settles where both rates are equal, in
// the middle of that quarter, and there is always space for the next group.
//
// Only in a log of eightOrMore segments does the last quarter say something about
// the backlog: in a smaller one, the segment in use and the one being uploaded
// fill it. Nothing is slowed down if no space has been reclaimed for a while, as
// when the object store is unavailable: that would only leave space unused.
const (
	eightOrMore      = 8
	throttleSample   = 100 * time.Millisecond
	throttleMemory   = 2 * time.Second // averaging window of the rate
	throttlePatience = 5 * time.Second // without any space reclaimed
	throttleFloor    = 8 << 20         // bytes per second that always pass
	throttleBurst    = 2 * time.Millisecond
)

// throttle is owned by the goroutine that builds groups.
type throttle struct {
	log  *Log
	soft int64 // bytes in use at which throttling starts; 0: never

	freed   int64     // bytes reclaimed at the last sample
	sampled time.Time // time of the last sample; zero: none yet
	given   time.Time // when space was last reclaimed
	rate    float64   // at which space is reclaimed, in bytes per second
	due     time.Time // when the next group may pass
}

func newThrottle(l *Log) *throttle {
	b := &throttle{log: l}
	if l.cfg.CapacityBytes >= eightOrMore*l.cfg.SegmentSizeBytes {
		b.soft = l.cfg.CapacityBytes / 4 * 3
	}
	return b
}

// wait delays a group of n bytes while the log fills up too fast, or while the rate that
// Deps.Rate allows is exceeded.
func (b *throttle) wait(ctx context.Context, n int) error {
	now := time.Now()
	rate := b.bySpace(now)
	if b.log.rate != nil {
		if r := b.log.rate(b.log.End()); r > 0 && (rate == 0 || r < rate) {
			rate = max(throttleFloor, r)
		}
	}
	if rate == 0 {
		return nil
	}
	if b.due.Before(now) {
		b.due = now
	}
	ahead := b.due.Sub(now)
	b.due = b.due.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	if ahead < throttleBurst {
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
	b.log.metrics.throttled.Add(time.Since(now).Seconds())
	return nil
}

// bySpace returns the rate in bytes per second that the space left allows; 0: unlimited.
func (b *throttle) bySpace(now time.Time) float64 {
	if b.soft == 0 {
		return 0
	}
	b.sample(now)
	used, capacity := b.log.Usage()
	if used < b.soft {
		return 0
	}
	signal(b.log.segments.pressure)
	if b.rate == 0 || now.Sub(b.given) > throttlePatience {
		return 0
	}
	left := float64(capacity-used) / float64(capacity-b.soft) // 1 to 0
	return max(throttleFloor, b.rate*(0.5+max(0, left)))
}

// sample updates the rate at which space is reclaimed.
func (b *throttle) sample(now time.Time) {
	freed := b.log.segments.freed.Load()
	if b.sampled.IsZero() {
		b.freed, b.sampled, b.given = freed, now, now
	}
	passed := now.Sub(b.sampled)
	if passed < throttleSample {
		return
	}
	if freed > b.freed {
		b.given = now
	}
	share := min(1, float64(passed)/float64(throttleMemory))
	b.rate += (float64(freed-b.freed)/passed.Seconds() - b.rate) * share
	b.freed, b.sampled = freed, now
}
