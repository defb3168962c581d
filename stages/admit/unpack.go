package admit

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/record"
)

// unpacking looks inside compressed batches. The memory it takes is bounded by how
// many it looks at at once: as many as there are processors while they unpack to no
// more than smallUnpacked, and one beyond that. So batches that unpack to much wait
// for each other, and nobody else for them.
type unpacking struct {
	small, large chan struct{} // a place in each
	bytes        prometheus.Counter
}

// smallUnpacked is what nearly all batches unpack to at most.
const smallUnpacked = 4 << 20

func newUnpacking(reg prometheus.Registerer) *unpacking {
	u := &unpacking{small: make(chan struct{}, runtime.GOMAXPROCS(0)), large: make(chan struct{}, 1),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_admit_unpacked_batch_bytes_total",
			Help: "Bytes of compressed batches whose records were unpacked to be checked."})}
	reg.MustRegister(u.bytes)
	return u
}

// check waits for its turn, or until ctx is done.
func (u *unpacking) check(ctx context.Context, b record.Batch) error {
	if b.Codec() == record.None {
		return nil
	}
	u.bytes.Add(float64(len(b)))
	err := within(ctx, u.small, b, smallUnpacked)
	if errors.Is(err, record.ErrTooLarge) {
		err = within(ctx, u.large, b, record.MaxUnpacked)
	}
	if errors.Is(err, record.ErrTooLarge) && b.Count() == 1 {
		// Told that a batch is too large, a producer splits it. One record cannot be.
		return fmt.Errorf("%w: its record unpacks to more than %d bytes", record.ErrCorrupt, record.MaxUnpacked)
	}
	return err
}

func within(ctx context.Context, places chan struct{}, b record.Batch, most int) error {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		return b.ValidateCompressed(most)
	case <-ctx.Done():
		return ctx.Err()
	}
}
