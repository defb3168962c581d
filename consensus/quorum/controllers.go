package quorum

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluicemq/sluice/consensus/raftnet"
)

// ErrAlone means that this node does not listen for other controllers.
var ErrAlone = errors.New("this node has no address for other controllers; set metadata.raft_address and certificates of the internal CA, then restart it")

// ErrUnsafe means that a change of the controllers could leave the shards without a majority.
var ErrUnsafe = errors.New("not safe now")

// AddController adds a controller that runs at an address with an empty directory, and returns
// once it votes in all shards. Interrupted, it may be called again. Unless force is set, all
// other controllers must be there, and none may be joining: one change at a time.
func (q *Quorum) AddController(ctx context.Context, id int32, address string, force bool) error {
	if q.net == nil {
		return ErrAlone
	}
	var a about
	if err := q.net.CallAddress(ctx, address, methodAbout, struct{}{}, &a); err != nil {
		return fmt.Errorf("add controller %d: %w", id, err)
	}
	mine := q.about()
	switch {
	case a.Controller != id:
		return fmt.Errorf("controller %d is at %s, not %d", a.Controller, address, id)
	case a.Cluster != "" && a.Cluster != mine.Cluster:
		return fmt.Errorf("controller %d belongs to another cluster; empty its metadata directory first", id)
	case a.Shards != mine.Shards:
		return fmt.Errorf("%w: here there are %d, controller %d has %d", ErrShards, mine.Shards, id, a.Shards)
	}
	q.net.SetPeer(id, address)
	if err := q.admitAll(ctx, id, a.Replicas, force); err != nil {
		return fmt.Errorf("add controller %d: %w", id, err)
	}
	for {
		left, err := q.notVoting(ctx, a.Replicas)
		if err == nil && left == 0 {
			q.log.Info("a controller was added and votes in all shards", "controller", id)
			return nil
		}
		if err := pause(ctx, joinPause); err != nil {
			return fmt.Errorf("controller %d is added and does not vote in %d shards yet; run the command again to see: %w", id, left, err)
		}
	}
}

func (q *Quorum) admitAll(ctx context.Context, id int32, replicas map[int]uint64, force bool) error {
	q.changing.Lock()
	defer q.changing.Unlock()
	reachable := q.ask(ctx)
	for shard, r := range replicas {
		m, err := q.membership(ctx, shard)
		if err != nil {
			return err
		}
		if m.has(r) {
			continue
		}
		if _, gone := m.Removed[r]; gone {
			return fmt.Errorf("%w: it was removed; empty its metadata directory and add it again", ErrNotAdded)
		}
		if err := q.calm(m, id, reachable); err != nil && !force {
			return err
		}
		if err := q.addReplica(ctx, shard, r, false); err != nil {
			return fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	return nil
}

// calm returns an error if another controller is missing, or is joining.
func (q *Quorum) calm(m membership, except int32, reachable map[int32]about) error {
	for r := range m.NonVotings {
		if id := raftnet.ControllerOf(r); id != except {
			return fmt.Errorf("%w: %s is joining; wait for it, or remove it", ErrUnsafe, raftnet.Name(id))
		}
	}
	for r := range m.Nodes {
		id := raftnet.ControllerOf(r)
		if _, there := reachable[id]; !there && id != q.cfg.ID && id != except {
			return fmt.Errorf("%w: %s does not answer; one controller at a time", ErrUnsafe, raftnet.Name(id))
		}
	}
	return nil
}

func (q *Quorum) notVoting(ctx context.Context, replicas map[int]uint64) (left int, err error) {
	for shard, r := range replicas {
		m, err := q.membership(ctx, shard)
		if err != nil {
			return len(replicas), err
		}
		if _, voter := m.Nodes[r]; !voter {
			left++
		}
	}
	return left, nil
}

// RemoveController removes a controller from all shards. The remaining ones must all answer,
// unless force is set. The removed one must not be started again with its directory.
func (q *Quorum) RemoveController(ctx context.Context, id int32, force bool) error {
	if q.net == nil {
		return ErrAlone
	}
	q.changing.Lock()
	defer q.changing.Unlock()
	reachable := q.ask(ctx)
	found := false
	for shard := range q.cfg.Shards + 1 {
		m, err := q.membership(ctx, shard)
		if err != nil {
			return err
		}
		all := m.of(id)
		if len(all) == 0 {
			continue
		}
		found = true
		if err := q.calm(m, id, reachable); err != nil && !force {
			return err
		}
		if err := q.removeFrom(ctx, shard, m, id, all); err != nil {
			return fmt.Errorf("remove %s from shard %d: %w", raftnet.Name(id), shard, err)
		}
	}
	if !found {
		return fmt.Errorf("%w: %d", ErrNotAdded, id)
	}
	q.log.Info("a controller was removed from all shards", "controller", id)
	return nil
}

func (q *Quorum) removeFrom(ctx context.Context, shard int, m membership, id int32, all []uint64) error {
	var heir uint64
	for r := range m.Nodes {
		if raftnet.ControllerOf(r) != id && (heir == 0 || raftnet.ControllerOf(r) == q.cfg.ID) {
			heir = r
		}
	}
	if heir == 0 {
		return fmt.Errorf("%w: it is the last controller", ErrUnsafe)
	}
	if leader, ok := q.Leader(shard); ok && leader == id {
		if err := q.handOver(ctx, shard, heir); err != nil {
			return err
		}
	}
	for _, r := range all {
		if err := q.deleteReplica(ctx, shard, r); err != nil {
			return err
		}
	}
	return nil
}

// handOver has another replica lead a shard and returns once the leader has changed.
func (q *Quorum) handOver(ctx context.Context, shard int, to uint64) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		leader, _, known, err := q.host.GetLeaderID(raftShard(shard))
		if err != nil || known && leader == to {
			return err
		}
		if known {
			if err := q.host.RequestLeaderTransfer(raftShard(shard), to); err != nil {
				return err
			}
		}
		if err := pause(ctx, 10*q.cfg.Tick); err != nil {
			return fmt.Errorf("%w: the leader of shard %d does not hand over: %w", ErrUnsafe, shard, err)
		}
	}
}

// Controller is a controller as the shards know it.
type Controller struct {
	ID        int32
	Address   string // empty: not known here
	Reachable bool
	Voter     bool   // in all shards
	Leads     int    // shards
	Lag       uint64 // entries that its log lacks of those of the leaders, in all shards together
	Shards    []Replica
}

// Replica is one controller's part in a shard.
type Replica struct {
	Shard  int
	Number uint64
	Voter  bool
	Leader bool
	Term   uint64 // as this controller knows it
	Last   uint64 // index of the last entry of its log; 0: not known
	Lag    uint64 // entries that it lacks of the leader's log
}

// Controllers returns the state of all controllers, by id. Those that do not answer have no
// positions.
func (q *Quorum) Controllers(ctx context.Context) ([]Controller, error) {
	last := q.allPositions(ctx)
	found := make(map[int32]*Controller)
	for shard := range q.cfg.Shards + 1 {
		m, err := q.membership(ctx, shard)
		if err != nil {
			return nil, err
		}
		leader, term, _, err := q.host.GetLeaderID(raftShard(shard))
		if err != nil {
			return nil, err
		}
		end := last[raftnet.ControllerOf(leader)][shard]
		for _, set := range []map[uint64]string{m.Nodes, m.NonVotings} {
			for r := range set {
				c := found[raftnet.ControllerOf(r)]
				if c == nil {
					c = &Controller{ID: raftnet.ControllerOf(r), Voter: true, Reachable: last[raftnet.ControllerOf(r)] != nil}
					found[c.ID] = c
				}
				c.add(m, Replica{Shard: shard, Number: r, Leader: r == leader, Term: term, Last: last[c.ID][shard]}, end)
			}
		}
	}
	var all []Controller
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if q.net != nil {
			found[id].Address = q.about().Peers[id]
		}
		all = append(all, *found[id])
	}
	return all, nil
}

func (c *Controller) add(m membership, r Replica, end uint64) {
	_, r.Voter = m.Nodes[r.Number]
	if r.Last < end && r.Last > 0 {
		r.Lag = end - r.Last
	}
	c.Voter = c.Voter && r.Voter
	if r.Leader {
		c.Leads++
	}
	c.Lag += r.Lag
	c.Shards = append(c.Shards, r)
}

// positions returns the index of the last entry of each of this controller's logs.
func (q *Quorum) positions() map[int]uint64 {
	all := make(map[int]uint64)
	for shard := range q.cfg.Shards + 1 {
		if !q.isStarted(shard) {
			continue
		}
		if log, err := q.host.GetLogReader(raftShard(shard)); err == nil {
			_, all[shard] = log.GetRange()
		}
	}
	return all
}

func (q *Quorum) allPositions(ctx context.Context) map[int32]map[int]uint64 {
	all := map[int32]map[int]uint64{q.cfg.ID: q.positions()}
	if q.net == nil {
		return all
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	type answer struct {
		id   int32
		last map[int]uint64
		err  error
	}
	peers := q.net.Peers()
	answers := make(chan answer, len(peers))
	for id := range peers {
		go func() {
			a := answer{id: id}
			a.err = q.net.Call(ctx, id, methodPositions, struct{}{}, &a.last)
			answers <- a
		}()
	}
	for range peers {
		if a := <-answers; a.err == nil {
			all[a.id] = a.last
		}
	}
	return all
}
