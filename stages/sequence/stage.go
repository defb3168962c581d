package sequence

import (
	"context"
	"errors"
	"io"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Stage is the sequence stage. Run it on any number of lanes; each Run owns the
// partitions that its lane receives.
type Stage struct {
	clock clock.Clock
	open  func(*partition.State) Opening
}

// New returns the stage. open is called once per partition and lane, by the lane,
// before the partition's first batch.
func New(c clock.Clock, open func(*partition.State) Opening) *Stage {
	return &Stage{clock: c, open: open}
}

// pruneEvery is how many Writes a lane handles between two checks for deleted
// partitions. A check visits all partitions of the lane.
const pruneEvery = 1 << 16

// Run sequences Writes until in is closed.
func (s *Stage) Run(ctx context.Context, in *pipeline.In[*flow.Write], out pipeline.Emit[*flow.Write]) error {
	logs := make(map[topic.Partition]*lanePartition)
	buf := make([]pipeline.Parcel[*flow.Write], 64)
	for handled := 0; ; {
		n, err := in.RecvBatch(ctx, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		now := s.clock.Now()
		for i, p := range buf[:n] {
			s.sequence(logs, p.Body, now.UnixMilli())
			buf[i] = pipeline.Parcel[*flow.Write]{}
			if err := out(ctx, p); err != nil {
				settleAll(buf[i+1:n], err)
				return err
			}
		}
		if handled += n; handled >= pruneEvery {
			handled = 0
			prune(logs)
		}
	}
}

func settleAll(ps []pipeline.Parcel[*flow.Write], err error) {
	for _, p := range ps {
		p.Settle(err)
	}
}

func (s *Stage) sequence(logs map[topic.Partition]*lanePartition, w *flow.Write, now int64) {
	w.Bytes = 0
	for _, a := range w.Appends {
		l, ok := logs[a.Partition]
		if !ok {
			l = &lanePartition{state: a.State, Opening: s.open(a.State)}
			logs[a.Partition] = l
		}
		a.LogAppendTime = -1
		l.sequence(a, now)
		if a.Writes() {
			w.Bytes += int64(len(a.Batch))
		}
	}
}

func prune(logs map[topic.Partition]*lanePartition) {
	for id, l := range logs {
		if l.state.Deleted() {
			delete(logs, id)
		}
	}
}
