package admit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// unpacking validates compressed batches. Its memory is bounded by the number of
// batches it decompresses at the same time: atOnce of them while they decompress
// to no more than smallUnpacked, and one beyond that. So batches that decompress
// to a lot wait for each other, and nobody waits for them.
//
// Turns are shared fairly between addresses and connections, by the time used, so
// that a client does not wait behind another's backlog of such batches.
type unpacking struct {
	small, large *pipeline.FairLimiter
	bytes        prometheus.Counter
}

// smallUnpacked is the decompressed size that hardly any batch exceeds.
const smallUnpacked = 4 << 20

// atOnce is how many small batches are decompressed at the same time. One
// processor is left to everything else: while all are busy the runtime polls the
// network only every 10 ms, and work with several hops waits as long at each.
func atOnce() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// Approximate upper bounds for the time that decompression takes.
const (
	smallTime = 10 * time.Millisecond
	largeTime = 200 * time.Millisecond
)

func newUnpacking(reg prometheus.Registerer) *unpacking {
	u := &unpacking{small: pipeline.NewFairLimiter(atOnce(), smallTime), large: pipeline.NewFairLimiter(1, largeTime),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_admit_decompressed_batch_bytes_total",
			Help: "Bytes of compressed batches that were decompressed for validation."})}
	reg.MustRegister(u.bytes)
	return u
}

// check validates b when it is who's turn, or fails when ctx ends. It returns the
// largest timestamp of the records.
func (u *unpacking) check(ctx context.Context, who pipeline.Holder, b record.Batch, r record.Rules) (int64, error) {
	u.bytes.Add(float64(len(b)))
	newest, err := within(ctx, u.small, who, b, r, smallUnpacked)
	if errors.Is(err, record.ErrTooLarge) {
		newest, err = within(ctx, u.large, who, b, r, record.MaxUnpacked)
	}
	if errors.Is(err, record.ErrTooLarge) && b.Count() == 1 {
		// A producer splits a batch that is reported as too large. A single record
		// cannot be split.
		err = fmt.Errorf("%w: its record decompresses to more than %d bytes", record.ErrCorrupt, record.MaxUnpacked)
	}
	return newest, err
}

func within(ctx context.Context, places *pipeline.FairLimiter, who pipeline.Holder, b record.Batch, r record.Rules, most int) (int64, error) {
	place, err := places.Acquire(ctx, who)
	if err != nil {
		return -1, ctx.Err()
	}
	defer place.Release()
	return b.ValidateCompressed(r, most)
}
