package sluice

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is what is produced and consumed: key, value, headers, and where it is.
type Record = kgo.Record

// Header is a header of a record.
type Header = kgo.RecordHeader

// PartitionError is an error of one partition; the others go on. Errors that a
// broker has answered are of the kerr package of franz-go.
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

// ErrClosed: the producer or consumer is closed.
var ErrClosed = kgo.ErrClientClosed
