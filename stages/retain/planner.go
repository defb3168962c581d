package retain

import (
	"context"
	"time"

	"github.com/sluicemq/sluice/internal/backoff"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Trim says where a partition's log should start.
type Trim struct {
	Partition topic.Partition
	Epoch     int32 // leader epoch at the time of the decision
	Decision
}

// Deps are what a Planner needs from outside.
type Deps struct {
	// Broker is this broker's ID; the partitions it leads are checked.
	Broker int32
	View   func() *meta.View
	// State returns the state of a partition that may have records in the WAL.
	State func(topic.Partition) (*partition.State, bool)
	Clock clock.Clock
}

// Planner is the source of the retention pipeline.
type Planner struct {
	Deps
	*setting.Limits[Config]
	tuned   chan struct{} // capacity 1
	failing *backoff.Set[topic.Partition]
}

// maxPause is the longest pause between two attempts at a failing partition.
const maxPause = 15 * time.Minute

// NewPlanner returns the source.
func NewPlanner(cfg Config, d Deps) *Planner {
	return &Planner{Deps: d, Limits: setting.NewLimits("retain/plan", cfg), tuned: make(chan struct{}, 1), failing: backoff.New[topic.Partition](maxPause)}
}

// Run checks all partitions repeatedly until ctx is done.
func (s *Planner) Run(ctx context.Context, out pipeline.Emit[*Trim]) error {
	for {
		for t := range s.Due {
			if !s.failing.Due(t.Partition, time.Now()) {
				continue
			}
			settled := make(chan error, 1)
			p := pipeline.Parcel[*Trim]{Body: t, Receipt: pipeline.NewReceipt(func(err error) { settled <- err })}
			if err := out(ctx, p); err != nil {
				return err
			}
			s.finished(ctx, t.Partition, <-settled) // so that a check starts after the previous one has ended
		}
		view := s.View()
		s.failing.Forget(func(p topic.Partition) bool { _, ok := view.Partition(p); return ok })
		timer := time.NewTimer(s.Config().Interval)
		select {
		case <-timer.C:
		case <-s.tuned:
		case <-ctx.Done():
		}
		if timer.Stop(); ctx.Err() != nil {
			return nil
		}
	}
}

// finished records the outcome of a trim. A failed one is retried after a pause.
func (s *Planner) finished(ctx context.Context, p topic.Partition, err error) {
	switch {
	case err == nil:
		s.failing.Done(p)
	case overtaken(err), ctx.Err() != nil:
	default:
		s.failing.Failed(p, time.Now(), max(time.Second, s.Config().Interval))
	}
}

// Due yields what is to be deleted now.
func (s *Planner) Due(yield func(*Trim) bool) {
	for _, t := range s.View().Topics() {
		policy, ok := PolicyOf(t.Configs)
		if !ok {
			continue
		}
		for i, m := range t.Partitions {
			if m.Leader != s.Broker {
				continue
			}
			id := topic.Partition{Topic: t.ID, Index: int32(i)}
			if d, ok := policy.Start(s.log(id, m), s.Clock.Now().UnixMilli()); ok && !yield(&Trim{id, m.Epoch, d}) {
				return
			}
		}
	}
}

func (s *Planner) log(id topic.Partition, m *meta.Partition) Partition {
	l := Partition{Start: m.LogStart, TierEnd: m.TierEnd, Objects: m.Objects, Tail: Tail{MaxTimestamp: -1}}
	if state, ok := s.State(id); ok {
		l.Tail.End = state.HighWatermark()
		l.Tail.Bytes, l.Tail.MaxTimestamp = state.Tail.Sum(max(m.TierEnd, m.LogStart), l.Tail.End)
	}
	return l
}

// Tune changes limits, and looks at once.
func (s *Planner) Tune(values map[string]int64) error {
	err := s.Limits.Tune(values)
	if err == nil {
		select {
		case s.tuned <- struct{}{}:
		default:
		}
	}
	return err
}
