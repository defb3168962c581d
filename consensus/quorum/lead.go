package quorum

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftio"

	"github.com/sluicemq/sluice/consensus/raftnet"
)

// leaders follows who leads the shards, and ends attempts that the former leader will not answer.
type leaders struct {
	mu       sync.Mutex
	of       map[uint64]raftio.LeaderInfo // by dragonboat's number of the shard
	since    map[uint64]time.Time         // this leader leads
	attempts map[uint64]map[*attempt]struct{}
}

// attempt is a proposal or read that waits for an answer.
type attempt struct {
	leader uint64 // when it began
	cancel context.CancelFunc
}

func newLeaders() *leaders {
	return &leaders{of: make(map[uint64]raftio.LeaderInfo), since: make(map[uint64]time.Time), attempts: make(map[uint64]map[*attempt]struct{})}
}

// lateAnswer is how long an attempt may still be answered after another leader was elected. What
// the former leader had replicated, the new one commits at once.
const lateAnswer = 300 * time.Millisecond

// LeaderUpdated is called by dragonboat, one call at a time.
func (l *leaders) LeaderUpdated(info raftio.LeaderInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.of[info.ShardID]
	l.of[info.ShardID] = info
	if before.LeaderID != info.LeaderID || before.Term != info.Term {
		l.since[info.ShardID] = time.Now()
	}
	if info.LeaderID == raftio.NoLeader {
		return
	}
	for a := range l.attempts[info.ShardID] {
		if a.leader != info.LeaderID {
			time.AfterFunc(lateAnswer, a.cancel)
		}
	}
}

// begin returns a context that is done soon after the shard's leader has changed.
func (l *leaders) begin(ctx context.Context, shard int) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	at := raftShard(shard)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &attempt{leader: l.of[at].LeaderID, cancel: cancel}
	if l.attempts[at] == nil {
		l.attempts[at] = make(map[*attempt]struct{})
	}
	l.attempts[at][a] = struct{}{}
	return ctx, func() {
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.attempts[at], a)
	}
}

// led returns since when a shard has had its leader.
func (l *leaders) led(shard int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since[raftShard(shard)]
}

// last returns the shard's last known leader and its term; the leader may be gone.
func (l *leaders) last(shard int) (uint64, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := l.of[raftShard(shard)]
	return info.LeaderID, info.Term
}

// Leader returns the controller that leads a shard.
func (q *Quorum) Leader(shard int) (controller int32, ok bool) {
	leader, _, known, err := q.host.GetLeaderID(raftShard(shard))
	return raftnet.ControllerOf(leader), err == nil && known
}

// turn is how much later each next controller tries to take over from one whose process has
// ended. It is longer than an election takes, so that they do not take votes from each other.
const turn = 150 * time.Millisecond

// down has this controller's replicas take over what a controller led whose process has ended. The
// election timeout, which is five times as long at least, is for those that are only silent.
func (q *Quorum) down(id int32) {
	if !q.enter() {
		return
	}
	defer q.calls.Done()
	rank := 0
	for other := range q.net.Peers() {
		if _, _, open := q.net.Heard(other); open && other < q.cfg.ID && other != id {
			rank++
		}
	}
	if pause(q.life, time.Duration(rank)*turn) != nil {
		return
	}
	var mine []raftio.NodeInfo
	for shard := range q.cfg.Shards + 1 {
		leader, _, known, err := q.host.GetLeaderID(raftShard(shard))
		was, _ := q.leaders.last(shard)
		if err != nil || known && raftnet.ControllerOf(leader) != id || !known && raftnet.ControllerOf(was) != id && was != raftio.NoLeader {
			continue
		}
		mine = append(mine, raftio.NodeInfo{ShardID: raftShard(shard), ReplicaID: q.ids.replica(shard)})
	}
	if len(mine) > 0 {
		q.log.Info("another controller has stopped; taking over the shards that it led", "controller", id, "shards", len(mine))
		q.net.Campaign(mine...)
	}
}

// Leadership is spread slowly: a leader that is out of place costs little, and one that changes
// costs an election.
const (
	spreadPause = time.Second
	spreadAfter = 10 * time.Second // nothing changed for so long
)

// spread hands shards to the controllers whose turn it is, until ctx is done.
func (q *Quorum) spread(ctx context.Context) {
	var before string
	var stable time.Time
	for pause(ctx, spreadPause) == nil {
		live, key := q.live()
		if key != before {
			before, stable = key, time.Now()
		}
		if time.Since(stable) < q.cfg.spreadAfter || len(live) < 2 {
			continue
		}
		q.spreadOne(ctx, live)
	}
}

// live returns the controllers that are there, in order.
func (q *Quorum) live() (ids []int32, key string) {
	ids = append(ids, q.cfg.ID)
	for id := range q.net.Peers() {
		if last, _, open := q.net.Heard(id); open && time.Since(last) < 3*time.Second {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		key += raftnet.Name(id) + " "
	}
	return ids, key
}

// spreadOne hands over one shard that this controller leads out of its turn.
func (q *Quorum) spreadOne(ctx context.Context, live []int32) {
	for shard := range q.cfg.Shards + 1 {
		if !q.Leads(shard) || time.Since(q.leaders.led(shard)) < q.cfg.spreadAfter {
			continue
		}
		m, err := q.membership(ctx, shard)
		if err != nil {
			continue
		}
		var voters []uint64
		for r := range m.Nodes {
			if slices.Contains(live, raftnet.ControllerOf(r)) {
				voters = append(voters, r)
			}
		}
		slices.SortFunc(voters, func(a, b uint64) int { return cmp.Compare(raftnet.ControllerOf(a), raftnet.ControllerOf(b)) })
		if len(voters) < 2 {
			continue
		}
		if to := voters[shard%len(voters)]; raftnet.ControllerOf(to) != q.cfg.ID {
			q.log.Debug("handing over a shard", "shard", shard, "to", raftnet.Name(raftnet.ControllerOf(to)))
			if err := q.host.RequestLeaderTransfer(raftShard(shard), to); err != nil {
				q.log.Debug("cannot hand over a shard", "shard", shard, "err", err)
			}
			return
		}
	}
}

// stepDown hands over all shards that this controller leads and waits a little for it to happen,
// so that its stop costs no election timeout.
func (q *Quorum) stepDown() {
	if q.net == nil || q.host.latch.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for shard := range q.cfg.Shards + 1 {
		if !q.isStarted(shard) || !q.Leads(shard) {
			continue
		}
		m, err := q.membership(ctx, shard)
		if err != nil {
			continue
		}
		for r := range m.Nodes {
			if _, _, open := q.net.Heard(raftnet.ControllerOf(r)); open {
				wg.Go(func() { _ = q.handOver(ctx, shard, r) }) // they elect one anyway, only later
				break
			}
		}
	}
	wg.Wait()
}
