package quorum

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/statemachine"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/setting"
)

// ErrShards means that the node was first started with another number of shards.
var ErrShards = errors.New("the number of metadata shards cannot be changed")

// Quorum is this controller's replicas of the shards. Its methods are safe for concurrent use.
type Quorum struct {
	cfg   Config
	log   *slog.Logger
	host  *host
	logs  []*logSize // by shard
	feeds []*feed    // by shard
	trim  chan int   // shards whose logs are large

	life  context.Context // done when closing
	stop  context.CancelFunc
	tasks sync.WaitGroup
	calls sync.WaitGroup // calls that use host; mu is held to add
	mu    sync.Mutex

	clusterID string // set by start
}

// Open starts the controller's replicas and returns once all of them have applied what was
// committed before.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Quorum, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	routeRaftLog(log)
	host, err := openHost(cfg, log)
	if err != nil {
		return nil, err
	}
	q := &Quorum{cfg: cfg, log: log, host: host, trim: make(chan int, cfg.Shards+1)}
	for shard := range cfg.Shards + 1 {
		q.logs = append(q.logs, &logSize{shard: shard, limit: cfg.SnapshotBytes, trim: q.trim})
		q.feeds = append(q.feeds, newFeed())
	}
	registerMetrics(q, reg)
	q.life, q.stop = context.WithCancel(context.Background())
	q.tasks.Go(q.watchDisk)
	if err := q.startUnlessDiskFails(ctx); err != nil {
		return nil, errors.Join(q.Close(), err)
	}
	q.tasks.Go(func() { q.trims(q.life) })
	return q, nil
}

// Close stops the replicas. Calls in progress fail.
func (q *Quorum) Close() error {
	q.end()
	q.tasks.Wait()
	q.calls.Wait()
	return errors.Join(q.host.close(), q.host.witness.close())
}

// end makes calls fail.
func (q *Quorum) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stop()
}

// Shards returns the number of partition shards.
func (q *Quorum) Shards() int { return q.cfg.Shards }

// Failed is closed when the metadata disk has failed; Err returns the error. No further changes
// are possible, so the process must exit.
func (q *Quorum) Failed() <-chan struct{} { return q.host.latch.Failed() }

// Err returns the disk error, with advice on what to do; nil if there is none.
func (q *Quorum) Err() error { return q.host.latch.Err() }

// Offline returns the shards that were not started, and why; the caller must not modify it.
// Their partitions have no leader and their groups no coordinator.
func (q *Quorum) Offline() map[int]error { return q.host.offline }

// Attest returns once the witness has the current positions of the logs. Call it before data is
// released because the metadata refers to it elsewhere.
func (q *Quorum) Attest() error { return q.host.witness.attest(q.host.guard) }

// LostChanges reports whether shard 0 has at some time gone on without changes that it had lost,
// so that it may lack topics whose partitions exist.
func (q *Quorum) LostChanges() bool { return keepsOrphans(q.cfg.Directory) }

// watchDisk ends all calls when the disk fails, and refills the reserve when there is space
// again.
func (q *Quorum) watchDisk() {
	timer := time.NewTicker(reservePause)
	defer timer.Stop()
	var full bool
	for {
		select {
		case <-q.host.latch.Failed():
			q.log.Error("the metadata can no longer be written; shutting down", "err", q.host.latch.Err())
			q.end()
			return
		case <-q.life.Done():
			return
		case <-timer.C:
		}
		if used := q.host.reserve.Used(); used != full {
			full = used
			q.log.Error("the metadata disk is full and its reserve is in use; free space before the reserve runs out", "left_bytes", q.host.reserve.Bytes())
		}
		if full && q.host.reserve.Fill() == nil {
			full = false
			q.log.Info("the metadata disk has space again and its reserve is refilled")
		}
	}
}

// reservePause is the interval between checks of the reserve.
const reservePause = 5 * time.Second

// startUnlessDiskFails calls start, which would not return after a disk failure.
func (q *Quorum) startUnlessDiskFails(ctx context.Context) error {
	q.host.latch.Block()
	done := make(chan error, 1)
	go func() { done <- q.start(ctx) }()
	select {
	case err := <-done:
		return err
	case <-q.Failed():
		return q.Err()
	}
}

// start starts all shards and waits until they are up to date. The number of shards must be the
// one that the cluster was created with; if the disk has a different number, shard 0 is asked
// before any is created.
func (q *Quorum) start(ctx context.Context) error {
	var first int
	if has := q.stored(); has != 0 && has != q.cfg.Shards+1 {
		if err := errors.Join(q.startShard(0), q.agree(ctx)); err != nil {
			return err
		}
		first = 1
	}
	for shard := first; shard <= q.cfg.Shards; shard++ {
		if q.host.offline[shard] != nil {
			continue
		}
		if err := q.startShard(shard); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return q.agree(ctx) })
	for shard := 1; shard <= q.cfg.Shards; shard++ {
		if q.host.offline[shard] != nil {
			continue
		}
		g.Go(func() error {
			_, err := q.ReadIndex(ctx, shard)
			return err
		})
	}
	return g.Wait()
}

// stored returns the number of shards on disk, including offline ones.
func (q *Quorum) stored() (n int) {
	for shard := range int(setting.Most(Config{}, "shards")) + 1 {
		if q.host.offline[shard] != nil || q.host.HasNodeInfo(raftShard(shard), replicaID) {
			n++
		}
	}
	return n
}

func (q *Quorum) startShard(shard int) error {
	members := map[uint64]dragonboat.Target{replicaID: address(q.cfg)}
	create := func(uint64, uint64) statemachine.IStateMachine {
		return newReplica(shard, q.logs[shard], q.feeds[shard])
	}
	err := unpanicked(func() error { return q.host.StartReplica(members, false, create, shardConfig(q.cfg, shard)) })
	if err != nil {
		return fmt.Errorf("metadata shard %d in %s: %w", shard, q.cfg.Directory, err)
	}
	return nil
}

// agree names the cluster if it has no name yet, and checks the number of shards.
func (q *Quorum) agree(ctx context.Context) error {
	v, err := q.lookup(ctx, 0, func(s state) any { return *s.(root).All().Cluster })
	if err != nil {
		return err
	}
	cluster := v.(machine.Cluster)
	if cluster.ID == "" {
		id := uuid.New()
		init := &machine.InitCluster{ClusterID: base64.RawURLEncoding.EncodeToString(id[:]), Shards: int32(q.cfg.Shards)}
		if _, _, err := q.Propose(ctx, 0, machine.Encode(init)); err != nil {
			return err
		}
		return q.agree(ctx)
	}
	if int(cluster.Shards) != q.cfg.Shards {
		return fmt.Errorf("%w: %s was created with %d, the config says %d", ErrShards, q.cfg.Directory, cluster.Shards, q.cfg.Shards)
	}
	q.clusterID = cluster.ID
	q.clusterID = cluster.ID
	return nil
}

// Propose has a shard apply an encoded command. It returns the encoded result and the index at
// which the command was applied. meta.ErrUnavailable means that it may or may not be applied,
// now or later.
func (q *Quorum) Propose(ctx context.Context, shard int, cmd []byte) (result []byte, index uint64, err error) {
	err = q.retry(ctx, shard, func(ctx context.Context) error {
		r, err := q.host.SyncPropose(ctx, q.host.GetNoOPSession(raftShard(shard)), cmd)
		result, index = r.Data, r.Value
		return err
	})
	return result, index, err
}

// ReadIndex returns the index of the last command that the shard had applied when it was called,
// or a later one: whoever has applied it has seen every change acknowledged before the call.
func (q *Quorum) ReadIndex(ctx context.Context, shard int) (index uint64, err error) {
	err = q.retry(ctx, shard, func(ctx context.Context) error {
		v, err := q.host.SyncRead(ctx, raftShard(shard), indexQuery{})
		if err == nil {
			index = v.(uint64)
		}
		return err
	})
	return index, err
}

// lookup calls f with the linearizable state of a shard.
func (q *Quorum) lookup(ctx context.Context, shard int, f func(state) any) (out any, err error) {
	err = q.retry(ctx, shard, func(ctx context.Context) (err error) {
		out, err = q.host.SyncRead(ctx, raftShard(shard), f)
		return err
	})
	return out, err
}

// retry calls f until it reaches the shard or the time is up.
func (q *Quorum) retry(ctx context.Context, shard int, f func(context.Context) error) error {
	if err := q.host.offline[shard]; err != nil {
		return fmt.Errorf("%w: shard %d is offline: %w", meta.ErrUnavailable, shard, err)
	}
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	if !q.enter() {
		return fmt.Errorf("%w: this node is closed", meta.ErrUnavailable)
	}
	defer q.calls.Done()
	defer context.AfterFunc(q.life, cancel)()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, dragonboat.ErrShardNotReady) || errors.Is(err, dragonboat.ErrSystemBusy) {
			select { // it was not accepted: no leader yet, or overload
			case <-time.After(retryPause):
				continue
			case <-ctx.Done():
			}
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) { // Raft has errors of its own for that
			err = fmt.Errorf("%w: %w", err, cause)
		}
		return fmt.Errorf("%w: shard %d: %w", meta.ErrUnavailable, shard, err)
	}
}

// enter keeps the host open until calls.Done; it returns false after Close was called.
func (q *Quorum) enter() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.life.Err() != nil {
		return false
	}
	q.calls.Add(1)
	return true
}

const retryPause = 10 * time.Millisecond
