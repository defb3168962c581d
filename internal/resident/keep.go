package resident

import (
	"context"
	"syscall"
	"time"
)

// busyShare is the fraction of one processor above which a program is busy, and
// the code it runs is better left mapped.
const busyShare = 0.05

// Keep shrinks the program after first, and then every interval in which it is
// idle, until ctx is done: what runs once an hour brings back its pages, and
// those around them, like the start did. failed is called with each error.
func Keep(ctx context.Context, first, every time.Duration, failed func(error)) {
	keep(ctx, first, every, processorTime, func() {
		if _, err := Shrink(); err != nil {
			failed(err)
		}
	})
}

func keep(ctx context.Context, first, every time.Duration, used func() time.Duration, shrink func()) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for due := true; ; {
		before := used()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if due || used()-before < time.Duration(busyShare*float64(every)) {
			shrink()
		}
		due = false
		timer.Reset(every)
	}
}

// processorTime is the processor time used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
