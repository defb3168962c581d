package quorum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/sluicemq/sluice/consensus/machine"
)

// state is a state machine of package machine.
type state interface {
	apply(machine.Command) (machine.Result, error)
	Snapshot() []byte
}

type root struct{ *machine.Root }

func (r root) apply(cmd machine.Command) (machine.Result, error) {
	result, _, err := r.Apply(cmd)
	return result, err
}

type partitions struct{ *machine.Shard }

func (s partitions) apply(cmd machine.Command) (machine.Result, error) {
	result, _, err := s.Apply(cmd)
	return result, err
}

func newState(shard int) state {
	if shard == 0 {
		return root{machine.NewRoot()}
	}
	return partitions{machine.NewShard()}
}

func restore(shard int, b []byte) (state, error) {
	if shard == 0 {
		r, err := machine.RestoreRoot(b)
		return root{r}, err
	}
	s, err := machine.RestoreShard(b)
	return partitions{s}, err
}

// replica adapts the state machine of a shard to dragonboat, which calls one method at a time.
type replica struct {
	shard int
	state state
	at    Position // after the last command
	log   *logSize
	feed  *feed
}

func newReplica(shard int, log *logSize, f *feed) *replica {
	return &replica{shard: shard, state: newState(shard), log: log, feed: f}
}

// Update applies a command. The result's value is its index.
func (r *replica) Update(e statemachine.Entry) (statemachine.Result, error) {
	cmd, err := machine.Decode(e.Cmd)
	if err != nil {
		return statemachine.Result{}, fmt.Errorf("entry %d of shard %d: %w", e.Index, r.shard, err)
	}
	result, err := r.state.apply(cmd)
	if err != nil {
		return statemachine.Result{}, fmt.Errorf("entry %d of shard %d: %w", e.Index, r.shard, err)
	}
	entry := Entry{e.Index, e.Cmd}
	r.at = r.at.After(entry)
	r.feed.add(entry, r.at)
	r.log.applied(len(e.Cmd))
	return statemachine.Result{Value: e.Index, Data: result.Encode()}, nil
}

// Queries of a replica, besides func(state) any.
type (
	indexQuery    struct{} // the index of the last command
	snapshotQuery struct{} // a Snapshot
)

// Lookup answers a query.
func (r *replica) Lookup(query any) (any, error) {
	switch f := query.(type) {
	case indexQuery:
		return r.at.Index, nil
	case snapshotQuery:
		return Snapshot{Position: r.at, State: r.state.Snapshot()}, nil
	case func(state) any:
		return f(r.state), nil
	}
	return nil, fmt.Errorf("an unknown query %T", query)
}

// A snapshot file begins with a version, and the index and the sum of the last command, 8 bytes each,
// little-endian. The state follows.
const snapshotVersion = 0x82 // above the versions of states, with which files began once

const snapshotHead = 17

var errSnapshot = errors.New("the snapshot is not of this version of Sluice; run the version that wrote it")

// SaveSnapshot writes the state.
func (r *replica) SaveSnapshot(w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{}) error {
	b := binary.LittleEndian.AppendUint64([]byte{snapshotVersion}, r.at.Index)
	b = binary.LittleEndian.AppendUint64(b, r.at.Sum)
	return r.log.save(w, append(b, r.state.Snapshot()...))
}

// RecoverFromSnapshot replaces the state.
func (r *replica) RecoverFromSnapshot(in io.Reader, _ []statemachine.SnapshotFile, _ <-chan struct{}) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if len(b) < snapshotHead || b[0] != snapshotVersion {
		return fmt.Errorf("shard %d: %w", r.shard, errSnapshot)
	}
	s, err := restore(r.shard, b[snapshotHead:])
	if err != nil {
		return fmt.Errorf("snapshot of shard %d: %w", r.shard, err)
	}
	r.state, r.at = s, Position{binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])}
	r.log.saved(len(b))
	r.feed.reset(r.at)
	return nil
}

// Close does nothing.
func (r *replica) Close() error { return nil }
