package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Salvage calls fn for every readable batch of the log in fs, in log order, and
// for those known to be damaged, except what truncations made void. It needs
// neither metadata nor guard and changes nothing; of a log that has lost
// something it reads what is there. The log may be in use. Errors are those of fn
// and of the disk, and ErrCorrupt when no start can be found.
func Salvage(ctx context.Context, fs blockfs.FS, fn func(Recovered) error) (Report, error) {
	s := newSegments(fs, Config{}, nil, nil)
	if err := s.open(); err != nil {
		return Report{}, fmt.Errorf("open the WAL: %w", err)
	}
	live := s.snapshot()
	if len(live) == 0 {
		return Report{}, s.close()
	}
	pool := blockfs.NewPool(inspectMemory)
	v, _, err := survey(ctx, live, pool)
	if err != nil {
		return Report{}, errors.Join(fmt.Errorf("read the WAL: %w", err), s.close())
	}
	var w *walker
	w = newWalker(live, pool, func(g found) error { return eachBatch(&w.report, g, v, fn) })
	if err = w.walk(ctx); err != nil {
		err = fmt.Errorf("read the WAL: %w", err)
	}
	if w.next.sequence > 0 {
		w.report.LastSequence = w.next.sequence - 1
	}
	return w.report, errors.Join(err, s.close())
}
