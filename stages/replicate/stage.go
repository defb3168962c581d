package replicate

import (
	"context"
	"errors"
	"io"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// Follower keeps a copy of what the leader writes.
type Follower interface {
	// Replicate returns once the follower has g on disk. The group's bytes may be
	// read until then, and for as long as its image is retained.
	Replicate(ctx context.Context, g *flow.Group) error
}

// Ack says that the group with this number is on enough followers.
type Ack struct{ Seq uint64 }

// Stage is the replicate stage. Run it with one worker.
type Stage struct{ followers []Follower }

// New returns a stage that copies to all followers.
func New(followers ...Follower) *Stage { return &Stage{followers: followers} }

// Run replicates until in is closed. If a follower fails, the group is nacked.
func (s *Stage) Run(ctx context.Context, in *pipeline.In[*flow.Group], out pipeline.Emit[Ack]) error {
	for {
		p, err := in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.replicate(ctx, p.Body); err != nil {
			p.Settle(err)
			continue
		}
		if err := out(ctx, pipeline.Parcel[Ack]{Body: Ack{p.Body.Seq}, Size: p.Size, Receipt: p.Receipt}); err != nil {
			return err
		}
	}
}

func (s *Stage) replicate(ctx context.Context, g *flow.Group) error {
	if len(s.followers) == 0 {
		return nil
	}
	failed := make(chan error, len(s.followers))
	for _, f := range s.followers {
		go func() { failed <- f.Replicate(ctx, g) }()
	}
	var errs []error
	for range s.followers {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}
