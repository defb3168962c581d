package sequence

import (
	"context"
	"errors"
	"io"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/pipeline"
)

// Stage is the sequence stage. Run it on any number of lanes.
type Stage struct {
	clock     clock.Clock
	producers func(*partition.State) *idempotence.Producers
}

// New returns the stage. producers returns what is known of a partition's
// producers; it is called before the partition's first batch, with its Lane
// locked.
func New(c clock.Clock, producers func(*partition.State) *idempotence.Producers) *Stage {
	return &Stage{clock: c, producers: producers}
}

// Run sequences Writes until in is closed.
func (s *Stage) Run(ctx context.Context, in *pipeline.In[*flow.Write], out pipeline.Emit[*flow.Write]) error {
	buf := make([]pipeline.Parcel[*flow.Write], 64)
	for {
		n, err := in.RecvBatch(ctx, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		now := s.clock.Now()
		for i, p := range buf[:n] {
			s.write(p.Body, now.UnixMilli())
			buf[i] = pipeline.Parcel[*flow.Write]{}
			if err := out(ctx, p); err != nil {
				settleAll(buf[i+1:n], err)
				return err
			}
		}
	}
}

func settleAll(ps []pipeline.Parcel[*flow.Write], err error) {
	for _, p := range ps {
		p.Settle(err)
	}
}

// write sequences the appends of w.
func (s *Stage) write(w *flow.Write, now int64) {
	w.Bytes = 0
	for _, a := range w.Appends {
		s.sequence(a, now)
		if a.Writes() {
			w.Bytes += int64(len(a.Batch))
		}
	}
}
