package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// ListenError explains in one sentence why an address cannot be listened on.
func ListenError(transport, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s address %s is in use; stop what listens there or set another address: %w", transport, address, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s address %s is not permitted; choose a port from 1024 up or grant the right to bind it: %w", transport, address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s address %s is not one of this machine; set one that is, or 0.0.0.0 for all: %w", transport, address, err)
	}
	return fmt.Errorf("%s address %s cannot be listened on; it must be HOST:PORT: %w", transport, address, err)
}

// Pause delays the next accept while the system is out of resources such as file descriptors: 5
// ms at first, doubling up to a second.
type Pause struct{ last time.Duration }

// Wait sleeps, or returns early when ctx is done.
func (p *Pause) Wait(ctx context.Context) {
	p.last = min(max(2*p.last, 5*time.Millisecond), time.Second)
	t := time.NewTimer(p.last)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Reset starts over after a successful accept.
func (p *Pause) Reset() { p.last = 0 }
