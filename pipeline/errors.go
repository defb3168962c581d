package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

var (
	// ErrDrainTimeout: the drain exceeded its grace period. Run returns it inside a
	// [DrainTimeoutError], which names the nodes that hung.
	ErrDrainTimeout = errors.New("pipeline: drain timed out")
	// ErrEarlyReturn: a node returned nil while its input was still open.
	ErrEarlyReturn = errors.New("pipeline: returned before its input closed")
	// ErrAbandoned: a node returned while holding parcels. They are nacked with this
	// error; if the graph had not failed already, it fails with it too.
	ErrAbandoned = fault.Transient(kerr.KafkaStorageError, "pipeline: returned without settling what it held")
	// ErrDraining: [Inlet.Submit] was called after the drain began. Retry elsewhere.
	ErrDraining = fault.Transient(kerr.NotLeaderForPartition, "pipeline: draining, no longer accepting work")
	// ErrPartnerFailed: [Zip] received one half of a pair and the other was nacked.
	ErrPartnerFailed = fault.Transient(kerr.KafkaStorageError, "pipeline: the other branch failed this parcel")
	// ErrTooLarge: a request exceeds the whole of a [Budget].
	ErrTooLarge = fault.Refused(kerr.MessageTooLarge, "pipeline: larger than the whole budget")
	// ErrClosed: an emit after the edge was closed, by a goroutine that outlived its
	// node.
	ErrClosed = fault.Transient(kerr.NotLeaderForPartition, "pipeline: emitted after the node returned")
	// ErrUnknownNode: the graph has no node of that name.
	ErrUnknownNode = errors.New("pipeline: no such node")
	// ErrNotAdjustable: the node has no such limit or tunable.
	ErrNotAdjustable = errors.New("pipeline: not adjustable")
	// ErrWiring: a port without a reader, a duplicate name, or a second Run.
	ErrWiring = errors.New("pipeline: wiring")
)

// StageError says which node made the graph fail.
type StageError struct {
	Graph, Stage string
	Err          error
}

func (e *StageError) Error() string { return e.Graph + "/" + e.Stage + ": " + e.Err.Error() }

// Unwrap returns the node's error.
func (e *StageError) Unwrap() error { return e.Err }

// PanicError is the failure of a node that panicked.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// DrainTimeoutError is [ErrDrainTimeout] with the nodes that kept the graph from
// draining: those busy with a parcel, not those waiting for them.
type DrainTimeoutError struct {
	Graph  string
	Stages []string
}

func (e *DrainTimeoutError) Error() string {
	return fmt.Sprintf("%v: %s hung in %s", ErrDrainTimeout, e.Graph, strings.Join(e.Stages, ", "))
}

// Unwrap returns [ErrDrainTimeout].
func (e *DrainTimeoutError) Unwrap() error { return ErrDrainTimeout }
