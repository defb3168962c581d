package quorum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/sluicemq/sluice/consensus/raftnet"
)

// Methods of calls between controllers.
const (
	methodAbout     = "about"
	methodJoin      = "join"
	methodPromote   = "promote"
	methodPositions = "positions"
)

// joining asks for replicas of shards to become members. The answer has an error, or an empty
// text, for each of them.
type joining struct {
	Incarnation uint32         `json:"incarnation"`
	Replicas    map[int]uint64 `json:"replicas"`
}

// ErrNotAdded means that a controller is not one of the cluster's.
var ErrNotAdded = errors.New("the controller is not in the cluster")

// joinPause is the interval between two attempts to join.
const joinPause = 300 * time.Millisecond

// join makes replicas with an empty log members of their shards: first non-voting, and voters once
// they have caught up. It ends when all of them are.
func (q *Quorum) join(ctx context.Context) {
	var said string
	for {
		left, err := q.joinOnce(ctx)
		if left == 0 || ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			q.log.Warn("cannot join the other controllers yet; trying again", "shards", left, "err", err)
		}
		if pause(ctx, joinPause) != nil {
			return
		}
	}
}

// joinOnce takes the next step for each shard and returns how many are not voters yet.
func (q *Quorum) joinOnce(ctx context.Context) (left int, err error) {
	q.ask(ctx)
	ask, promote := joining{Incarnation: q.ids.get().Incarnation, Replicas: make(map[int]uint64)}, joining{Replicas: make(map[int]uint64)}
	for _, shard := range q.joiningShards() {
		left++
		r := q.ids.replica(shard)
		if !q.isStarted(shard) {
			ask.Replicas[shard] = r
			continue
		}
		voter, readErr := q.caughtUp(ctx, shard, r)
		switch {
		case readErr != nil:
			err = errors.Join(err, readErr)
		case voter:
			q.joined(shard)
			left--
		default:
			promote.Replicas[shard] = r
		}
	}
	for shard, why := range q.askAny(ctx, methodJoin, ask) {
		if why != "" {
			err = fmt.Errorf("shard %d: %s", shard, why)
		} else if startErr := q.startShard(shard); startErr != nil {
			err = startErr
		}
	}
	for shard, why := range q.askAny(ctx, methodPromote, promote) {
		if why != "" {
			err = fmt.Errorf("shard %d: %s", shard, why)
		}
	}
	return left, err
}

// caughtUp returns once this replica has applied what was committed when it was called, and
// whether it is a voter.
func (q *Quorum) caughtUp(ctx context.Context, shard int, r uint64) (voter bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := q.host.SyncRead(ctx, raftShard(shard), indexQuery{}); err != nil {
		return false, fmt.Errorf("shard %d has not caught up: %w", shard, err)
	}
	m, err := q.host.SyncGetShardMembership(ctx, raftShard(shard))
	if err != nil {
		return false, err
	}
	_, voter = m.Nodes[r]
	return voter, nil
}

// askAny asks the other controllers one after the other, until all shards are done.
func (q *Quorum) askAny(ctx context.Context, method string, j joining) map[int]string {
	if len(j.Replicas) == 0 {
		return nil
	}
	result := make(map[int]string)
	for shard := range j.Replicas {
		result[shard] = "no other controller answers"
	}
	for _, id := range slices.Sorted(maps.Keys(q.net.Peers())) {
		var done map[int]string
		ctx, cancel := context.WithTimeout(ctx, 6*callTimeout)
		err := q.net.Call(ctx, id, method, j, &done)
		cancel()
		if err != nil {
			continue
		}
		for shard, why := range done {
			if result[shard] != "" {
				result[shard] = why
			}
			if why == "" {
				delete(j.Replicas, shard)
			}
		}
		if len(j.Replicas) == 0 {
			break
		}
	}
	return result
}

// handle answers calls of other controllers.
func (q *Quorum) handle(ctx context.Context, from int32, method string, body json.RawMessage) (any, error) {
	if !q.enter() {
		return nil, errors.New("this controller is not ready")
	}
	defer q.calls.Done()
	var j joining
	switch method {
	case methodAbout:
		return q.about(), nil
	case methodPositions:
		return q.positions(), nil
	case methodJoin, methodPromote:
		if err := json.Unmarshal(body, &j); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("this version has no call %q", method)
	}
	result := make(map[int]string, len(j.Replicas))
	q.changing.Lock()
	defer q.changing.Unlock()
	for shard, r := range j.Replicas {
		var err error
		switch {
		case raftnet.ControllerOf(r) != from:
			err = fmt.Errorf("replica %d is not one of %s", r, raftnet.Name(from))
		case method == methodJoin:
			err = q.admit(ctx, shard, r, j.Incarnation)
		default:
			err = q.promote(ctx, shard, r)
		}
		if result[shard] = ""; err != nil {
			result[shard] = err.Error()
		}
	}
	return result, nil
}

// admit makes a replica a non-voting member, if its controller is one of the cluster's.
func (q *Quorum) admit(ctx context.Context, shard int, r uint64, incarnation uint32) error {
	id := raftnet.ControllerOf(r)
	m, err := q.membership(ctx, shard)
	if err != nil || m.has(r) {
		return err
	}
	if _, gone := m.Removed[r]; gone {
		return fmt.Errorf("%w: %s was removed; empty its metadata directory and add it again", ErrNotAdded, raftnet.Name(id))
	}
	before := m.of(id)
	if len(before) == 0 {
		return fmt.Errorf("%w: run `sluice controller add %d ADDRESS`", ErrNotAdded, id)
	}
	if _, lives, open := q.net.Heard(id); open && lives != incarnation {
		return fmt.Errorf("%s is alive with another disk; two processes have its id", raftnet.Name(id))
	}
	for _, old := range before {
		if _, voter := m.Nodes[old]; !voter { // it was given up before it had caught up
			if err := q.deleteReplica(ctx, shard, old); err != nil {
				return err
			}
		}
	}
	return q.addReplica(ctx, shard, r, false)
}

// promote makes a non-voting replica that has caught up a voter, in place of the one that its
// controller had before. That one goes first: it will never vote again, and with both counted a
// majority would need one controller more.
func (q *Quorum) promote(ctx context.Context, shard int, r uint64) error {
	m, err := q.membership(ctx, shard)
	if err != nil {
		return err
	}
	if _, there := m.NonVotings[r]; !there {
		if _, voter := m.Nodes[r]; voter {
			return nil
		}
		return fmt.Errorf("%w: replica %d", ErrNotAdded, r)
	}
	for _, old := range m.of(raftnet.ControllerOf(r)) {
		if old != r {
			if err := q.deleteReplica(ctx, shard, old); err != nil {
				return err
			}
		}
	}
	return q.addReplica(ctx, shard, r, true)
}

// membership is the members of a shard.
type membership struct{ *dragonboat.Membership }

func (q *Quorum) membership(ctx context.Context, shard int) (membership, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := q.host.SyncGetShardMembership(ctx, raftShard(shard))
	if err != nil {
		return membership{}, fmt.Errorf("members of shard %d: %w", shard, err)
	}
	return membership{m}, nil
}

func (m membership) has(r uint64) bool {
	_, voter := m.Nodes[r]
	_, other := m.NonVotings[r]
	return voter || other
}

// of returns the replicas of a controller, voters or not.
func (m membership) of(id int32) (all []uint64) {
	for _, set := range []map[uint64]string{m.Nodes, m.NonVotings} {
		for r := range set {
			if raftnet.ControllerOf(r) == id {
				all = append(all, r)
			}
		}
	}
	return all
}

func (q *Quorum) addReplica(ctx context.Context, shard int, r uint64, voter bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if voter {
		return q.host.SyncRequestAddReplica(ctx, raftShard(shard), r, raftnet.Target(r), 0)
	}
	return q.host.SyncRequestAddNonVoting(ctx, raftShard(shard), r, raftnet.Target(r), 0)
}

func (q *Quorum) deleteReplica(ctx context.Context, shard int, r uint64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return q.host.SyncRequestDeleteReplica(ctx, raftShard(shard), r, 0)
}

// rejoin gives up a replica whose log is unusable: its files are moved aside and its number is
// never used again. A new replica joins in its place.
func (q *Quorum) rejoin(shard int) error {
	old := q.ids.of(shard)
	if err := q.ids.change(func(r *record) { r.setReplica(shard, raftnet.Number(newIncarnation(), r.Controller)) }); err != nil {
		return err
	}
	aside, err := putAside(q.cfg, q.host.logs.dir, shard, old)
	if err != nil {
		return err
	}
	if err := errors.Join(q.host.guard.Forget(old), q.host.witness.forget()); err != nil {
		return err
	}
	q.log.Warn("a metadata shard joins the other controllers with a new replica", "shard", shard, "old", aside)
	q.host.logs.online(shard)
	return nil
}
