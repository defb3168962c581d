package compact

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sluicemq/sluice/internal/backoff"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Planner is the source of the compaction pipeline.
type Planner struct {
	*setting.Limits[Config]
	broker  int32
	view    func() *meta.View
	clock   clock.Clock
	tuned   chan struct{} // capacity 1
	failing *backoff.Set[topic.Partition]
}

// maxPause is the longest pause between two attempts at a failing partition.
const maxPause = 15 * time.Minute

// NewPlanner returns the source. It plans for partitions that broker leads in the
// views that it gets.
func NewPlanner(cfg Config, broker int32, view func() *meta.View, c clock.Clock) *Planner {
	return &Planner{Limits: setting.NewLimits("compact/plan", cfg), broker: broker, view: view, clock: c, tuned: make(chan struct{}, 1),
		failing: backoff.New[topic.Partition](maxPause)}
}

// Run checks all manifests repeatedly until ctx is done. It pauses only when
// there is nothing to do.
func (p *Planner) Run(ctx context.Context, out pipeline.Emit[*Job]) error {
	for {
		done, err := p.look(ctx, out)
		if err != nil {
			return err
		}
		if done > 0 && ctx.Err() == nil {
			continue
		}
		// Not all brokers at once, and not in step with uploads.
		pause := p.Config().Interval
		timer := time.NewTimer(pause*3/4 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-p.tuned:
		case <-ctx.Done():
		}
		if timer.Stop(); ctx.Err() != nil {
			return nil
		}
	}
}

// look runs one round of jobs and returns how many succeeded. Each partition is
// planned with the newest view; jobs run one at a time.
func (p *Planner) look(ctx context.Context, out pipeline.Emit[*Job]) (done int, err error) {
	var shared []Merge // to go into one object
	var bytes int64
	run := func(j *Job) error {
		failed, err := submit(ctx, out, j)
		if err == nil && p.finished(ctx, j, failed) {
			done++
		}
		return err
	}
	view := p.view()
	p.failing.Forget(func(at topic.Partition) bool { _, ok := view.Partition(at); return ok })
	for t, i := range partitionsOf(view) {
		if ctx.Err() != nil {
			return done, nil
		}
		c, m := p.plan(t, i)
		if c != nil {
			if err := run(&Job{Clean: c}); err != nil {
				return done, err
			}
		}
		if m == nil {
			continue
		}
		if p.failing.Failing(m.Partition) { // it would make the others fail with it
			if err := run(&Job{Merges: []Merge{*m}}); err != nil {
				return done, err
			}
			continue
		}
		if len(shared) > 0 && bytes+m.bytes() > p.Config().TargetBytes {
			if err := run(&Job{Merges: shared}); err != nil {
				return done, err
			}
			shared, bytes = nil, 0
		}
		shared, bytes = append(shared, *m), bytes+m.bytes()
	}
	if len(shared) > 0 {
		err = run(&Job{Merges: shared})
	}
	return done, err
}

// partitionsOf yields the topic ID and partition index of every partition.
func partitionsOf(v *meta.View) func(func(topic.ID, int32) bool) {
	return func(yield func(topic.ID, int32) bool) {
		for _, t := range v.Topics() {
			for i := range t.Partitions {
				if !yield(t.ID, int32(i)) {
					return
				}
			}
		}
	}
}

// plan decides what to do in one partition, from the newest view: clean, or else
// merge.
func (p *Planner) plan(id topic.ID, index int32) (*Clean, *Merge) {
	at := topic.Partition{Topic: id, Index: index}
	view := p.view()
	m, ok := view.Partition(at)
	if !ok || !p.failing.Due(at, time.Now()) || m.Leader != p.broker || len(m.Objects) == 0 {
		return nil, nil
	}
	t, _ := view.TopicByID(id)
	if r, ok := rulesOf(t.Configs); ok {
		if c := r.cleanable(at, m, p.clock.Now().UnixMilli()); c != nil {
			c.Topic = t.Name
			return c, nil
		}
	}
	if old := mergeable(m.Objects, p.Config().MinObjects, p.Config().TargetBytes); old != nil {
		return nil, &Merge{Topic: t.Name, Partition: at, Epoch: m.Epoch, Old: old}
	}
	return nil, nil
}

// finished records the outcome of a job and reports whether it succeeded. A
// cancelled or overtaken job is planned again in the next round; one that failed
// otherwise, after a pause.
func (p *Planner) finished(ctx context.Context, j *Job, failed error) (ok bool) {
	overtaken := errors.Is(failed, meta.ErrConflict) || errors.Is(failed, meta.ErrUnknownTopic)
	for _, at := range j.partitions() {
		switch {
		case failed == nil:
			p.failing.Done(at)
		case !overtaken && ctx.Err() == nil:
			p.failing.Failed(at, time.Now(), max(time.Second, p.Config().Interval))
		}
	}
	return failed == nil
}

// submit runs a job and returns its outcome. The second error is the pipeline's.
func submit(ctx context.Context, out pipeline.Emit[*Job], j *Job) (failed, err error) {
	j.Life = ctx
	finished := make(chan error, 1)
	if err := out(ctx, pipeline.Parcel[*Job]{Body: j, Receipt: pipeline.NewReceipt(func(err error) { finished <- err })}); err != nil {
		return nil, err
	}
	return <-finished, nil
}

// Tune changes limits, and has the planner look at once.
func (p *Planner) Tune(values map[string]int64) error {
	err := p.Limits.Tune(values)
	if err == nil {
		select {
		case p.tuned <- struct{}{}:
		default:
		}
	}
	return err
}
