package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
)

// Garbage lists objects that nothing refers to: of deleted topics, those dropped
// by retention or compaction, and those of abandoned uploads.
type Garbage interface {
	Garbage(ctx context.Context, max int) ([]meta.Garbage, error)
	// Collected reports that objects, as returned by Garbage, have been deleted.
	Collected(ctx context.Context, objects []meta.Garbage) error
}

// Remover deletes objects; deleting a missing one is not an error.
type Remover interface {
	Delete(ctx context.Context, key string) error
}

// sweepMany is how many objects one sweep takes at once.
const sweepMany = 256

// Sweep deletes garbage until ctx is done. Only what the metadata lists is
// deleted; the store is never listed.
func (u *Uploader) Sweep(ctx context.Context, from Garbage, store Remover) {
	for ctx.Err() == nil {
		n, err := u.sweep(ctx, from, store)
		if err != nil && ctx.Err() == nil {
			u.Logger.Warn("garbage was not collected; retrying", "err", err, slog.Duration("pause", u.Config().SweepInterval))
		}
		if err != nil || n < sweepMany {
			u.awaitInterval(ctx)
		}
	}
}

// awaitInterval returns after the pause between two sweeps, or when it is changed or ctx is done.
func (u *Uploader) awaitInterval(ctx context.Context) {
	timer := time.NewTimer(u.Config().SweepInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-u.tuned:
	case <-ctx.Done():
	}
}

// sweep deletes up to sweepMany objects, and returns how many were listed. A
// failed deletion does not stop the others, unless the store is unavailable.
func (u *Uploader) sweep(ctx context.Context, from Garbage, store Remover) (int, error) {
	garbage, err := from.Garbage(ctx, sweepMany)
	if err != nil || len(garbage) == 0 {
		return 0, err
	}
	var deleted []meta.Garbage
	var errs []error
	for _, g := range garbage {
		err := store.Delete(ctx, object.Key(g.ID))
		if err == nil {
			deleted = append(deleted, g)
			u.metrics.deleted.Inc()
			continue
		}
		errs = append(errs, err)
		if ctx.Err() != nil || errors.Is(err, objectstore.ErrUnavailable) {
			break
		}
	}
	if len(errs) > 0 {
		err = fmt.Errorf("%d of %d objects were not deleted: %w", len(garbage)-len(deleted), len(garbage), errs[0])
	}
	if len(deleted) > 0 {
		err = errors.Join(err, from.Collected(ctx, deleted))
	}
	return len(garbage), err
}

// Tune changes limits, and starts a sweep at once.
func (u *Uploader) Tune(values map[string]int64) error {
	err := u.Limits.Tune(values)
	if err == nil {
		select {
		case u.tuned <- struct{}{}:
		default:
		}
	}
	return err
}
