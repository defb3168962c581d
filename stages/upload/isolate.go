package upload

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// ErrQuarantined: what a partition has in the WAL cannot be uploaded, so it
// accepts no more records.
var ErrQuarantined = fault.Lost(kerr.KafkaStorageError, "the partition's records in the WAL cannot be uploaded; see the broker's log")

// partError is a failure of one partition: its range cannot be read, is not what
// was written, or does not continue what the metadata has. It says nothing about
// other partitions.
type partError struct {
	state  *partition.State
	offset int64 // everything below can be uploaded
	err    error
	// refused by the metadata: another attempt may have come first, or this one too
	// late
	refused bool
}

func (e *partError) Error() string {
	return fmt.Sprintf("%s offset %d: %v", e.state.ID, e.offset, e.err)
}
func (e *partError) Unwrap() error { return e.err }

// When a partition fails, the others in the cut are uploaded without it.
const (
	// strikes is how often a partition may fail before it accepts no more records:
	// its records hold segments of the WAL, and more of them would eventually hold
	// them all.
	strikes = 3
	// lastIsolatedPause is the longest pause between two of its attempts; the first is
	// firstPause.
	lastIsolatedPause = 5 * time.Minute
)

// isolated is a partition with a failure: it is uploaded separately from the
// cuts.
type isolated struct {
	failed int
	offset int64 // everything below can be uploaded
	pause  time.Duration
	next   time.Time
}

// isolate takes a failed partition out of the cuts, and counts the strike.
func (u *Uploader) isolate(e *partError) {
	a := u.isolated[e.state]
	if a == nil {
		a = &isolated{pause: firstPause}
		u.isolated[e.state] = a
	}
	a.failed++
	a.offset = e.offset
	u.later(a)
	u.metrics.failures.WithLabelValues(stepPartition).Inc()
	where := []any{"topic", u.nameOf(e.state.ID), "partition", e.state.ID.Index, "offset", e.offset, "err", e.err}
	switch {
	case a.failed == 1:
		u.Logger.Warn("a partition could not be uploaded; it is retried separately from the others", where...)
	case a.failed == strikes:
		u.Logger.Error("a partition cannot be uploaded: it accepts no more records until it can, and its records stay in the WAL", where...)
		u.quarantined.Add(1)
		if e.state.Refused() == nil {
			e.state.Refuse(ErrQuarantined)
		}
	}
}

// refused counts how often in a row the metadata refused a part of s, including
// this time.
func (u *Uploader) refused(s *partition.State) int {
	n, _ := u.refusals.Load(s)
	times, _ := n.(int)
	u.refusals.Store(s, times+1)
	return times + 1
}

func (u *Uploader) later(a *isolated) {
	a.next = time.Now().Add(a.pause)
	a.pause = min(2*a.pause, lastIsolatedPause)
}

// rehabilitate puts a partition back into the cuts.
func (u *Uploader) rehabilitate(s *partition.State, a *isolated) {
	delete(u.isolated, s)
	u.refusals.Delete(s)
	if a.failed < strikes {
		return
	}
	u.quarantined.Add(-1)
	if errors.Is(s.Refused(), ErrQuarantined) {
		s.Refuse(nil)
	}
	if !s.Deleted() {
		u.Logger.Warn("a partition was uploaded after all and accepts records again", "topic", u.nameOf(s.ID), "partition", s.ID.Index)
	}
}

func (u *Uploader) nameOf(p topic.Partition) string {
	if t, ok := u.Metadata.View().TopicByID(p.Topic); ok {
		return t.Name
	}
	return p.Topic.String()
}

// attention returns ctx with a deadline at which the next isolated partition is
// due.
func (u *Uploader) attention(ctx context.Context) (context.Context, context.CancelFunc) {
	var next time.Time
	for _, a := range u.isolated {
		if next.IsZero() || a.next.Before(next) {
			next = a.next
		}
	}
	if next.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, next)
}

// retry retries the isolated partitions that are due, one by one.
func (u *Uploader) retry(ctx context.Context) {
	now := time.Now()
	for s, a := range u.isolated {
		if a.next.After(now) || ctx.Err() != nil {
			continue
		}
		err := u.alone(ctx, s, a)
		var part *partError
		switch {
		case err == nil || s.Deleted() || !s.Leads():
			u.rehabilitate(s, a)
			u.Log.Reclaim()
		case ctx.Err() != nil:
		case errors.As(err, &part):
			u.isolate(part)
		default: // a failure of the store or the metadata, not its own
			u.later(a)
		}
	}
}

// alone uploads what a partition has, from the WAL itself, since the copy in
// memory may be what is wrong. Records below the failure go first.
func (u *Uploader) alone(ctx context.Context, s *partition.State, a *isolated) error {
	u.catchUp([]*partition.State{s})
	for _, limit := range []int64{a.offset, math.MaxInt64} {
		if s.Deleted() || !s.Leads() {
			return nil
		}
		if limit <= s.TierEnd() {
			continue
		}
		p, err := u.partOf(ctx, s, u.end, limit)
		if err != nil {
			return err
		}
		if p.bytes == 0 {
			continue
		}
		p.fromLog = true
		if err := u.write(ctx, &objectPlan{parts: []part{p}}); err != nil {
			return err
		}
	}
	return nil
}
