package upload

import (
	"context"
	"log/slog"
	"time"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// Garbage names objects that nothing refers to: of deleted topics, and of
// uploads that were given up.
type Garbage interface {
	Garbage(ctx context.Context, max int) ([]meta.ObjectID, error)
	Collected(ctx context.Context, ids []meta.ObjectID) error
}

// Remover deletes objects; one that is not there is not an error.
type Remover interface {
	Delete(ctx context.Context, key string) error
}

const (
	sweepPause = time.Minute // between two looks
	sweepMany  = 256         // objects a look takes
)

// Sweep deletes garbage until ctx is done. Only what the metadata names is
// deleted; the store is never listed.
func (u *Uploader) Sweep(ctx context.Context, from Garbage, store Remover) {
	timer := time.NewTicker(sweepPause)
	defer timer.Stop()
	for {
		for {
			n, err := u.sweep(ctx, from, store)
			if err != nil && ctx.Err() == nil {
				u.Logger.Warn("garbage was not collected; it is tried again", "err", err, slog.Duration("pause", sweepPause))
			}
			if err != nil || n < sweepMany {
				break
			}
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func (u *Uploader) sweep(ctx context.Context, from Garbage, store Remover) (int, error) {
	ids, err := from.Garbage(ctx, sweepMany)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	for _, id := range ids {
		if err := store.Delete(ctx, object.Key(id)); err != nil {
			return 0, err
		}
		u.metrics.swept.Inc()
	}
	return len(ids), from.Collected(ctx, ids)
}
