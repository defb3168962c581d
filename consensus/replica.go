package consensus

import (
	"fmt"
	"io"

	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/sluicemq/sluice/consensus/machine"
)

// rootReplica adapts shard 0 to dragonboat, which calls one method at a time.
type rootReplica struct {
	state *machine.Root
	out   *projection
	log   *logSize
}

func (r *rootReplica) Update(e statemachine.Entry) (statemachine.Result, error) {
	cmd, err := machine.Decode(e.Cmd)
	if err != nil {
		return statemachine.Result{}, fmt.Errorf("entry %d of shard 0: %w", e.Index, err)
	}
	result, changes, err := r.state.Apply(cmd)
	if err != nil {
		return statemachine.Result{}, fmt.Errorf("entry %d of shard 0: %w", e.Index, err)
	}
	r.out.root(changes)
	r.log.applied(len(e.Cmd))
	return statemachine.Result{Data: result.Encode()}, nil
}

// Lookup calls query, a func(*machine.Root) any.
func (r *rootReplica) Lookup(query any) (any, error) {
	return query.(func(*machine.Root) any)(r.state), nil
}

func (r *rootReplica) SaveSnapshot(w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{}) error {
	return r.log.save(w, r.state.Snapshot())
}

func (r *rootReplica) RecoverFromSnapshot(in io.Reader, _ []statemachine.SnapshotFile, _ <-chan struct{}) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	state, err := machine.RestoreRoot(b)
	if err != nil {
		return fmt.Errorf("snapshot of shard 0: %w", err)
	}
	r.state = state
	r.log.saved(len(b))
	r.out.resetRoot(state.All())
	return nil
}

func (r *rootReplica) Close() error { return nil }

// shardReplica adapts a partition shard to dragonboat.
type shardReplica struct {
	shard int // from 1
	state *machine.Shard
	out   *projection
	log   *logSize
}

func (r *shardReplica) Update(e statemachine.Entry) (statemachine.Result, error) {
	cmd, err := machine.Decode(e.Cmd)
	if err != nil {
		return statemachine.Result{}, fmt.Errorf("entry %d of shard %d: %w", e.Index, r.shard, err)
	}
	result, changes, err := r.state.Apply(cmd)
	if err != nil {
		return statemachine.Result{}, fmt.Errorf("entry %d of shard %d: %w", e.Index, r.shard, err)
	}
	r.out.shard(r.shard, changes)
	r.log.applied(len(e.Cmd))
	return statemachine.Result{Data: result.Encode()}, nil
}

// Lookup calls query, a func(*machine.Shard) any.
func (r *shardReplica) Lookup(query any) (any, error) {
	return query.(func(*machine.Shard) any)(r.state), nil
}

func (r *shardReplica) SaveSnapshot(w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{}) error {
	return r.log.save(w, r.state.Snapshot())
}

func (r *shardReplica) RecoverFromSnapshot(in io.Reader, _ []statemachine.SnapshotFile, _ <-chan struct{}) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	state, err := machine.RestoreShard(b)
	if err != nil {
		return fmt.Errorf("snapshot of shard %d: %w", r.shard, err)
	}
	r.state = state
	r.log.saved(len(b))
	r.out.resetShard(r.shard, state.All())
	return nil
}

func (r *shardReplica) Close() error { return nil }
