package load

import (
	"context"

	"github.com/sluicemq/sluice/bench/workloads"
)

// Driver speaks to one system.
type Driver interface {
	// Prepare makes the empty log that the workload needs.
	Prepare(ctx context.Context, w workloads.Workload) error
	// NewProducer returns a producer that calls acked for each value once it is
	// acknowledged or has failed for good, never twice at the same time.
	NewProducer(ctx context.Context, acked func(value []byte, err error)) (Producer, error)
	// NewConsumer returns a consumer that calls got for each value, never twice at
	// the same time. It reads the share-th part of the partitions, of so many.
	NewConsumer(ctx context.Context, from Start, share, parts int, got func(value []byte)) (Consumer, error)
	// Close removes the log and ends all connections.
	Close(ctx context.Context) error
}

// Start is where a consumer begins.
type Start int

// The ends of a log.
const (
	FromStart Start = iota
	FromEnd
)

// Producer sends records.
type Producer interface {
	// Send hands a value over, which the producer keeps until it is acknowledged.
	// It waits while the window is full.
	Send(ctx context.Context, partition int32, value []byte) error
	// Flush waits until everything sent has been acknowledged or has failed.
	Flush(ctx context.Context) error
	Close()
}

// Consumer receives records until it is closed.
type Consumer interface{ Close() }

// Server tells what the server process has used.
type Server interface {
	CPU() (seconds float64, err error)
	RSS() (bytes int64, err error)
	PeakRSS() (bytes int64, err error)
}
