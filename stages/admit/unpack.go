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

// unpacking looks inside compressed batches. The memory it takes is bounded by how
// many it looks at at once: atOnce while they unpack to no more than smallUnpacked, and
// one beyond that. So batches that unpack to much wait for each other, and nobody else
// for them.
//
// Places are given in turn by address and connection, by the time that they are had, so
// that what others send of such batches is not waited for.
type unpacking struct {
	small, large *pipeline.Places
	bytes        prometheus.Counter
}

// smallUnpacked is what nearly all batches unpack to at most.
const smallUnpacked = 4 << 20

// atOnce is how many small batches are unpacked at once. A processor is left to all
// else: while each is busy, what comes from the network is seen every 10 ms only, and
// what has several hops to go waits as often.
func atOnce() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// How long unpacking takes at most, about, of small batches and of others.
const (
	smallTime = 10 * time.Millisecond
	largeTime = 200 * time.Millisecond
)

func newUnpacking(reg prometheus.Registerer) *unpacking {
	u := &unpacking{small: pipeline.NewPlaces(atOnce(), smallTime), large: pipeline.NewPlaces(1, largeTime),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_admit_unpacked_batch_bytes_total",
			Help: "Bytes of compressed batches whose records were unpacked to be checked."})}
	reg.MustRegister(u.bytes)
	return u
}

// check waits for the turn of who, or until ctx is done. It returns the largest
// timestamp of the records.
func (u *unpacking) check(ctx context.Context, who pipeline.Holder, b record.Batch, r record.Rules) (int64, error) {
	u.bytes.Add(float64(len(b)))
	newest, err := within(ctx, u.small, who, b, r, smallUnpacked)
	if errors.Is(err, record.ErrTooLarge) {
		newest, err = within(ctx, u.large, who, b, r, record.MaxUnpacked)
	}
	if errors.Is(err, record.ErrTooLarge) && b.Count() == 1 {
		// Told that a batch is too large, a producer splits it. One record cannot be.
		err = fmt.Errorf("%w: its record unpacks to more than %d bytes", record.ErrCorrupt, record.MaxUnpacked)
	}
	return newest, err
}

func within(ctx context.Context, places *pipeline.Places, who pipeline.Holder, b record.Batch, r record.Rules, most int) (int64, error) {
	place, err := places.Enter(ctx, who)
	if err != nil {
		return -1, ctx.Err()
	}
	defer place.Leave()
	return b.ValidateCompressed(r, most)
}
