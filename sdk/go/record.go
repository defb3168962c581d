package sluice

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is a produced or consumed record: key, value, headers, and position.
type Record = kgo.Record

// Header is a header of a record.
type Header = kgo.RecordHeader

// PartitionError is an error of one partition; the others continue. Errors returned by a broker
// are those of franz-go's package kerr.
type PartitionError struct {
	Topic     string
	Partition int32
	Err       error
}

// Error names the partition and the cause.
func (e *PartitionError) Error() string {
	return fmt.Sprintf("%s/%d: %v", e.Topic, e.Partition, e.Err)
}

// Unwrap returns the cause.
func (e *PartitionError) Unwrap() error { return e.Err }

// ErrClosed means that the producer or consumer is closed.
var ErrClosed = kgo.ErrClientClosed
