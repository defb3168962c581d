package admit

import (
	"context"
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// ErrControl: clients may not write control batches.
var ErrControl = fault.Refused(kerr.InvalidRecord, "control batches are written by brokers only")

// Stage is the source of the write pipeline. Append may be called from any number
// of goroutines.
type Stage struct {
	*pipeline.Inlet[*flow.Write]
	lanes   int
	clock   clock.Clock
	unpack  *unpacking
	refused prometheus.Counter
}

// New returns the source of a pipeline with that many lanes.
func New(lanes int, c clock.Clock, reg prometheus.Registerer) *Stage {
	s := &Stage{Inlet: pipeline.NewInlet[*flow.Write](), lanes: lanes, clock: c, unpack: newUnpacking(reg),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_admit_refused_batches_total",
			Help: "Batches refused as malformed, too large or outside the topic's rules."})}
	reg.MustRegister(s.refused)
	return s
}

// LaneKey is the key of a Write for [pipeline.Lanes].
func LaneKey(w *flow.Write) uint64 { return w.LaneKey }

// Append submits the batches of one request of who to the pipeline and calls done
// once all have settled: with nil when each is as durable as promised or carries
// its own Err, with an error when the pipeline failed them. Until then appends
// and the bytes they point to belong to the pipeline. done may be called before
// Append returns.
func (s *Stage) Append(ctx context.Context, who pipeline.Holder, appends []flow.Append, done func(error)) {
	now := s.clock.Now().UnixMilli()
	for i := range appends {
		a := &appends[i]
		if a.Err == nil {
			a.Err = s.check(ctx, who, a, now)
		}
		if a.Err != nil {
			s.refused.Inc()
		}
	}
	writes := s.split(appends)
	if len(writes) == 0 {
		done(nil)
		return
	}
	receipts := pipeline.NewReceipt(done).Split(len(writes))
	for i, w := range writes {
		// Submit owns the parcel even when it fails; done hears of it through the receipt.
		_ = s.Submit(ctx, pipeline.Parcel[*flow.Write]{Body: w, Size: w.Bytes, Receipt: receipts[i]})
	}
}

// split groups the accepted appends by lane, keeping their order within a lane.
func (s *Stage) split(appends []flow.Append) []*flow.Write {
	byLane := make([]*flow.Write, s.lanes)
	var writes []*flow.Write
	for i := range appends {
		a := &appends[i]
		if a.Err != nil {
			continue
		}
		key := a.Partition.Hash()
		lane := pipeline.LaneOf(key, s.lanes)
		w := byLane[lane]
		if w == nil {
			w = &flow.Write{LaneKey: key}
			byLane[lane] = w
			writes = append(writes, w)
		}
		w.Appends = append(w.Appends, a)
		w.Bytes += int64(len(a.Batch))
	}
	return writes
}

// check validates a batch against the format and its topic's rules, and sets the
// timestamp in its header from its records. The most expensive check comes last.
func (s *Stage) check(ctx context.Context, who pipeline.Holder, a *flow.Append, now int64) error {
	rules := rulesOf(a.State.Settings(), now)
	newest, err := a.Batch.Validate(rules)
	if err != nil {
		return err
	}
	if a.Batch.IsControl() {
		return ErrControl
	}
	if a.Batch.Codec() != record.None {
		if newest, err = s.unpack.check(ctx, who, a.Batch, rules); err != nil {
			return err
		}
	}
	if !rules.AppendTime { // otherwise sequence sets it to the append time
		a.Batch.SetCreateTime(newest)
	}
	return nil
}

// rulesOf returns the rules of a partition's topic for a batch that arrives at
// now, in ms since the epoch.
func rulesOf(c *partition.Settings, now int64) record.Rules {
	r := record.Rules{MaxBytes: int(c.MaxMessageBytes), MaxRecord: c.MaxRecordBytes, Keyed: c.Compacted, AppendTime: c.LogAppendTime,
		Oldest: now - c.TimestampBeforeMs, Newest: math.MaxInt64}
	if c.TimestampAfterMs < math.MaxInt64-now {
		r.Newest = now + c.TimestampAfterMs
	}
	return r
}
