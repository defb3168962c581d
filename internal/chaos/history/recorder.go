package history

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Recorder collects the operations of concurrent clients. It is safe for concurrent use; each
// client has one operation at a time.
type Recorder struct {
	begin time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
	log map[int64]int64 // by value: its first offset at the end, nil if not known
}

// NewRecorder starts an empty history.
func NewRecorder() *Recorder { return &Recorder{begin: time.Now()} }

// Op is an operation that was called and has not returned.
type Op struct {
	r      *Recorder
	client int
	call   int64
}

// Call notes that a client calls an operation.
func (r *Recorder) Call(client int) Op { return Op{r, client, int64(time.Since(r.begin))} }

func (o Op) returns(in input, out output) {
	o.returnsAt(int64(time.Since(o.r.begin)), in, out)
}

func (o Op) returnsAt(at int64, in input, out output) {
	o.r.mu.Lock()
	defer o.r.mu.Unlock()
	o.r.ops = append(o.r.ops, porcupine.Operation{ClientId: o.client, Input: in, Call: o.call, Output: out, Return: at})
}

// Appended notes an acknowledged append. A negative offset is one that the server did not tell.
func (o Op) Appended(value, offset int64) {
	o.returns(input{kind: appendRecord, value: value}, output{offset: max(offset, unknownOffset)})
}

// MaybeAppended notes an append whose outcome is not known. It may still take effect.
func (o Op) MaybeAppended(value int64) {
	o.returnsAt(math.MaxInt64, input{kind: appendRecord, value: value}, output{unknown: true})
}

// Got notes that an offset was read.
func (o Op) Got(offset, value int64) {
	o.returns(input{kind: getRecord, offset: offset}, output{value: value})
}

// GotNothing notes that an offset was read, and nothing was there yet.
func (o Op) GotNothing(offset int64) {
	o.returns(input{kind: getRecord, offset: offset}, output{absent: true})
}

// GotEnd notes that the end of the log was read: the offset of the next record.
func (o Op) GotEnd(offset int64) { o.returns(input{kind: getEnd}, output{offset: offset}) }

// Final notes the whole log, read after all other operations have returned or were given up.
// Without it, a history with more than a few unknown outcomes takes too long to check: it tells
// which of those appends took effect, and where.
func (r *Recorder) Final(values []int64) {
	at := make(map[int64]int64, len(values))
	for offset, value := range values {
		r.Call(finalReader).Got(int64(offset), value)
		if _, doubled := at[value]; !doubled {
			at[value] = int64(offset)
		}
	}
	r.Call(finalReader).GotEnd(int64(len(values)))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = at
}

const finalReader = -1 // as a client

// known returns the operations, with the outcomes that the final log tells.
func (r *Recorder) known() []porcupine.Operation {
	if r.log == nil {
		return r.ops
	}
	var out []porcupine.Operation
	for _, op := range r.ops {
		in, result := op.Input.(input), op.Output.(output)
		if in.kind != appendRecord || !result.unknown && result.offset != unknownOffset {
			out = append(out, op)
			continue
		}
		if offset, there := r.log[in.value]; there {
			op.Output = output{offset: offset}
		} else if result.unknown {
			continue // it never took effect
		}
		out = append(out, op)
	}
	return out
}

// Len returns the number of operations.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// ErrUndecided is returned for a history that takes too long to check.
var ErrUndecided = errors.New("the history was not decided in time")

// Check returns an error if no log of the model explains the history.
func (r *Recorder) Check(model porcupine.Model, limit time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	result, info := porcupine.CheckOperationsVerbose(model, r.known(), limit)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%w: %d operations, %s", ErrUndecided, len(r.ops), limit)
	}
	return fmt.Errorf("no log explains what clients saw in %d operations; the longest part that one explains has %d",
		len(r.ops), longest(info))
}

func longest(info porcupine.LinearizationInfo) int {
	most := 0
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, ops := range partition {
			most = max(most, len(ops))
		}
	}
	return most
}
