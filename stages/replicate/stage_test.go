package replicate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/replicate"
)

type follower func(*flow.Group) error

func (f follower) Replicate(_ context.Context, g *flow.Group) error { return f(g) }

func groups(n int) (out []*flow.Group) {
	for i := range n {
		out = append(out, &flow.Group{Seq: uint64(i + 1)})
	}
	return out
}

func TestOneNodeAcknowledgesInOrder(t *testing.T) {
	acks, verdicts, err := pipelinetest.Drive(t, replicate.New(), groups(3)...)
	if err != nil || errors.Join(verdicts...) != nil {
		t.Fatal(err, verdicts)
	}
	for i, a := range acks {
		if a.Seq != uint64(i+1) {
			t.Errorf("ack %d has number %d", i, a.Seq)
		}
	}
}

func TestAFollowerThatFailsNacksTheGroup(t *testing.T) {
	broken := errors.New("follower unavailable")
	acks, verdicts, err := pipelinetest.Drive(t, replicate.New(
		follower(func(*flow.Group) error { return nil }),
		follower(func(g *flow.Group) error {
			if g.Seq == 2 {
				return broken
			}
			return nil
		})), groups(3)...)
	if err != nil {
		t.Fatal(err)
	}
	if len(acks) != 2 || acks[0].Seq != 1 || acks[1].Seq != 3 {
		t.Errorf("acks %v", acks)
	}
	if verdicts[0] != nil || !errors.Is(verdicts[1], broken) || verdicts[2] != nil {
		t.Errorf("verdicts %v", verdicts)
	}
}
