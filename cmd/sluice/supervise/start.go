package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// Errors of Start.
var (
	ErrNoSupervisor = errors.New("no supervisor runs the nodes")
	ErrRuns         = errors.New("the node runs already")
)

// Start has the supervisor of a cluster start a node that is down, and returns the new process ID.
// lock is the directory that the supervisor's caller holds locked, dir that of the node.
func Start(ctx context.Context, lock, dir string) (int, error) {
	if err := supervised(lock); err != nil {
		return 0, err
	}
	if pid, err := PID(dir); err == nil {
		return pid, fmt.Errorf("%w, as process %d", ErrRuns, pid)
	}
	if err := os.WriteFile(startFile(dir), nil, 0o600); err != nil {
		return 0, err
	}
	for {
		_, err := os.Lstat(startFile(dir))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = errors.Join(err, supervised(lock)); err != nil {
			return 0, errors.Join(err, withdraw(dir))
		}
		select {
		case <-time.After(requestEvery):
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), withdraw(dir))
		}
	}
	pid, err := PID(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("the node has ended at once; see %s", logFile(dir))
	}
	return pid, err
}

// supervised reports whether a supervisor runs.
func supervised(lock string) error {
	release, err := blockfs.LockUsed(lock)
	if errors.Is(err, blockfs.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(fmt.Errorf("%w in %s", ErrNoSupervisor, lock), release())
}
