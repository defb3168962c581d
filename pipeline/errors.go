package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

var (
	// ErrDrainTimeout: the drain outlived its grace period. Run returns it
	// inside a [DrainTimeoutError], which names who hung.
	ErrDrainTimeout = errors.New("pipeline: drain timed out")
	// ErrEarlyReturn: a node returned nil while its input was open.
	ErrEarlyReturn = errors.New("pipeline: returned before its input closed")
	// ErrAbandoned: a node returned and still held parcels. They are nacked with
	// it; a node that does so on its own account fails the graph with it.
	ErrAbandoned = fault.Transient(kerr.KafkaStorageError, "pipeline: returned without settling what it held")
	// ErrDraining: [Inlet.Submit] after the drain began. Retry elsewhere.
	ErrDraining = fault.Transient(kerr.NotLeaderForPartition, "pipeline: draining, takes nothing more")
	// ErrPartnerFailed: [Zip] got one half of a pair, the other was nacked.
	ErrPartnerFailed = fault.Transient(kerr.KafkaStorageError, "pipeline: the other branch failed this parcel")
	// ErrTooLarge: a request that the whole of a [Budget] could not satisfy.
	ErrTooLarge = fault.Refused(kerr.MessageTooLarge, "pipeline: larger than the whole budget")
	// ErrClosed: an emit after the edge closed, by something that outlived the
	// node it belongs to.
	ErrClosed = fault.Transient(kerr.NotLeaderForPartition, "pipeline: emitted after the node returned")
	// ErrUnknownNode: no node of that name in the graph.
	ErrUnknownNode = errors.New("pipeline: no such node")
	// ErrNotAdjustable: the node does not have this limit or knob.
	ErrNotAdjustable = errors.New("pipeline: not adjustable")
	// ErrWiring: a port without reader, a name used twice, or a second Run.
	ErrWiring = errors.New("pipeline: wiring")
)

// StageError says which node failed the graph.
type StageError struct {
	Graph, Stage string
	Err          error
}

func (e *StageError) Error() string { return e.Graph + "/" + e.Stage + ": " + e.Err.Error() }

// Unwrap returns what the node failed with.
func (e *StageError) Unwrap() error { return e.Err }

// PanicError is the failure of a node that panicked.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value panicked with, when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// DrainTimeoutError is [ErrDrainTimeout] with the nodes that kept the graph
// from draining: those at work on something, not those waiting for them.
type DrainTimeoutError struct {
	Graph  string
	Stages []string
}

func (e *DrainTimeoutError) Error() string {
	return fmt.Sprintf("%v: %s hung in %s", ErrDrainTimeout, e.Graph, strings.Join(e.Stages, ", "))
}

// Unwrap returns [ErrDrainTimeout].
func (e *DrainTimeoutError) Unwrap() error { return ErrDrainTimeout }
