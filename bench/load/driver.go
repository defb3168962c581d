package load

import (
	"context"

	"github.com/sluicemq/sluice/bench/workloads"
)

// Driver is a client of one system.
type Driver interface {
	// Prepare creates the empty log that the workload needs.
	Prepare(ctx context.Context, w workloads.Workload) error
	// NewProducer returns a producer that calls acked for each value once it is acknowledged or
	// has finally failed, never concurrently.
	NewProducer(ctx context.Context, acked func(value []byte, err error)) (Producer, error)
	// NewConsumer returns a consumer that calls got for each value, never concurrently. It
	// reads the share-th of parts shares of the partitions.
	NewConsumer(ctx context.Context, from Start, share, parts int, got func(value []byte)) (Consumer, error)
	// Close deletes the log and closes all connections.
	Close(ctx context.Context) error
}

// Start is where a consumer starts.
type Start int

// The ends of a log.
const (
	FromStart Start = iota
	FromEnd
)

// Producer sends records.
type Producer interface {
	// Send passes a value to the producer, which owns it until it is acknowledged. It blocks
	// while the window is full.
	Send(ctx context.Context, partition int32, value []byte) error
	// Flush waits until everything sent is acknowledged or has failed.
	Flush(ctx context.Context) error
	Close()
}

// Consumer receives records until it is closed.
type Consumer interface{ Close() }

// Server reports the resource usage of the server process.
type Server interface {
	CPU() (seconds float64, err error)
	RSS() (bytes int64, err error)
	PeakRSS() (bytes int64, err error)
}
