package consensus

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
	"github.com/sluicemq/sluice/internal/topic"
)

// ErrShards means that the node was first started with another number of shards.
var ErrShards = errors.New("the number of metadata shards cannot be changed")

// Cluster is this node's view of, and access to, the metadata. Its methods are safe for
// concurrent use. A change returns once it is durable and visible in View or Group.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	host    *host
	out     *projection
	metrics metrics
	logs    []*logSize // by shard
	trim    chan int   // shards whose logs are large

	life  context.Context // done when closing
	stop  context.CancelFunc
	tasks sync.WaitGroup

	keepOrphans bool           // shard 0 has lost changes at some time
	calls       sync.WaitGroup // calls that use host; mu is held to add

	mu   sync.Mutex
	busy map[topic.ID]int // topics being changed by a call; repair skips them
}

// Open starts the node's replicas and returns once all of them have applied what was committed
// before, so that View is complete.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Cluster, error) {
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
	c := &Cluster{cfg: cfg, log: log, host: host, out: newProjection(cfg.Shards, host.offline), busy: make(map[topic.ID]int),
		keepOrphans: keepsOrphans(cfg.Directory)}
	c.trim = make(chan int, cfg.Shards+1)
	for shard := range cfg.Shards + 1 {
		c.logs = append(c.logs, &logSize{shard: shard, limit: cfg.SnapshotBytes, trim: c.trim})
	}
	c.metrics = newMetrics(c, reg)
	c.life, c.stop = context.WithCancel(context.Background())
	c.tasks.Go(c.watchDisk)
	if err := c.startUnlessDiskFails(ctx); err != nil {
		return nil, errors.Join(c.Close(), err)
	}
	c.out.started()
	c.publish()
	c.tellLost()
	c.tasks.Go(func() { c.follow(c.life) })
	c.tasks.Go(func() { c.repairs(c.life) })
	c.tasks.Go(func() { c.trims(c.life) })
	return c, nil
}

// Close stops the replicas. Calls in progress fail.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.tasks.Wait()
	c.calls.Wait()
	return errors.Join(c.host.close(), c.host.witness.close())
}

// Failed is closed when the metadata disk has failed; Err returns the error. No further changes
// are possible, so the process must exit.
func (c *Cluster) Failed() <-chan struct{} { return c.host.latch.Failed() }

// Err returns the disk error, with advice on what to do; nil if there is none.
func (c *Cluster) Err() error { return c.host.latch.Err() }

// Offline returns the shards that were not started, and why; the caller must not modify it.
// Their partitions have no leader and their groups no coordinator.
func (c *Cluster) Offline() map[int]error { return c.host.offline }

// watchDisk ends all calls when the disk fails, and refills the reserve when there is space
// again.
func (c *Cluster) watchDisk() {
	timer := time.NewTicker(reservePause)
	defer timer.Stop()
	var full bool
	for {
		select {
		case <-c.host.latch.Failed():
			c.log.Error("the metadata can no longer be written; shutting down", "err", c.host.latch.Err())
			c.mu.Lock()
			c.stop()
			c.mu.Unlock()
			return
		case <-c.life.Done():
			return
		case <-timer.C:
		}
		if used := c.host.reserve.Used(); used != full {
			full = used
			c.log.Error("the metadata disk is full and its reserve is in use; free space before the reserve runs out", "left_bytes", c.host.reserve.Bytes())
		}
		if full && c.host.reserve.Fill() == nil {
			full = false
			c.log.Info("the metadata disk has space again and its reserve is refilled")
		}
	}
}

// reservePause is the interval between checks of the reserve.
const reservePause = 5 * time.Second

// startUnlessDiskFails calls start, which would not return after a disk failure.
func (c *Cluster) startUnlessDiskFails(ctx context.Context) error {
	c.host.latch.Block()
	done := make(chan error, 1)
	go func() { done <- c.start(ctx) }()
	select {
	case err := <-done:
		return err
	case <-c.Failed():
		return c.Err()
	}
}

// View returns the latest snapshot of the metadata.
func (c *Cluster) View() *meta.View { return c.out.view.Load() }

// Changed returns a channel that is closed when a View newer than any taken before the call is
// available.
func (c *Cluster) Changed() <-chan struct{} { return *c.out.next.Load() }

// publish makes applied changes visible.
func (c *Cluster) publish() {
	if c.out.publish() {
		c.metrics.views.Inc()
	}
}

// follow publishes changes that no local caller waits for.
func (c *Cluster) follow(ctx context.Context) {
	for {
		select {
		case <-c.out.woken:
			c.publish()
		case <-ctx.Done():
			return
		}
	}
}

// start starts all shards and waits until they are up to date. The number of shards must be the
// one that the cluster was created with; if the disk has a different number, shard 0 is asked
// before any is created.
func (c *Cluster) start(ctx context.Context) error {
	var first int
	if has := c.stored(); has != 0 && has != c.cfg.Shards+1 {
		if err := errors.Join(c.startShard(0), c.agree(ctx)); err != nil {
			return err
		}
		first = 1
	}
	for shard := first; shard <= c.cfg.Shards; shard++ {
		if c.host.offline[shard] != nil {
			continue
		}
		if err := c.startShard(shard); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.agree(ctx) })
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		if c.host.offline[shard] != nil {
			continue
		}
		g.Go(func() error {
			_, err := read(ctx, c, shard, func(*machine.Shard) bool { return true })
			return err
		})
	}
	return g.Wait()
}

// stored returns the number of shards on disk, including offline ones.
func (c *Cluster) stored() (n int) {
	for shard := range int(setting.Most(Config{}, "shards")) + 1 {
		if c.host.offline[shard] != nil || c.host.HasNodeInfo(raftShard(shard), replicaID) {
			n++
		}
	}
	return n
}

func (c *Cluster) startShard(shard int) error {
	members := map[uint64]dragonboat.Target{replicaID: address(c.cfg)}
	create := func(uint64, uint64) statemachine.IStateMachine {
		if shard == 0 {
			return &rootReplica{state: machine.NewRoot(), out: c.out, log: c.logs[0]}
		}
		return &shardReplica{shard: shard, state: machine.NewShard(), out: c.out, log: c.logs[shard]}
	}
	err := unpanicked(func() error { return c.host.StartReplica(members, false, create, shardConfig(c.cfg, shard)) })
	if err != nil {
		return fmt.Errorf("metadata shard %d in %s: %w", shard, c.cfg.Directory, err)
	}
	return nil
}

// agree names the cluster if it has no name yet, and checks the number of shards.
func (c *Cluster) agree(ctx context.Context) error {
	cluster, err := readRoot(ctx, c, func(r *machine.Root) machine.Cluster { return *r.All().Cluster })
	if err != nil {
		return err
	}
	if cluster.ID == "" {
		id := uuid.New()
		if _, err := c.propose(ctx, 0, &machine.InitCluster{ClusterID: base64.RawURLEncoding.EncodeToString(id[:]),
			Shards: int32(c.cfg.Shards)}); err != nil {
			return err
		}
		return c.agree(ctx)
	}
	if int(cluster.Shards) != c.cfg.Shards {
		return fmt.Errorf("%w: %s was created with %d, the config says %d", ErrShards, c.cfg.Directory, cluster.Shards, c.cfg.Shards)
	}
	return nil
}

// RecordClaim records which process of a broker is about to claim the object store.
func (c *Cluster) RecordClaim(ctx context.Context, x meta.Claim) error {
	if _, err := c.propose(ctx, 0, &machine.RecordClaim{Claim: x}); err != nil {
		return fmt.Errorf("record the claim of broker %d: %w", x.Broker, err)
	}
	c.publish()
	return nil
}

// RecordWAL records which WAL a broker writes from now on.
func (c *Cluster) RecordWAL(ctx context.Context, w meta.WAL) error {
	if _, err := c.propose(ctx, 0, &machine.RecordWAL{WAL: w}); err != nil {
		return fmt.Errorf("record the WAL of broker %d: %w", w.Broker, err)
	}
	c.publish()
	return nil
}

// RecordWALStart records which process of a broker was the last to take over its WAL.
func (c *Cluster) RecordWALStart(ctx context.Context, x meta.WALStart) error {
	if _, err := c.propose(ctx, 0, &machine.RecordWALStart{Start: x}); err != nil {
		return fmt.Errorf("record the owner of the WAL of broker %d: %w", x.Broker, err)
	}
	c.publish()
	return nil
}

// AllocateProducerIDs returns the first of n producer ids that were never used before.
func (c *Cluster) AllocateProducerIDs(ctx context.Context, n int32) (first int64, err error) {
	if n < 1 {
		return 0, fmt.Errorf("%d producer ids requested", n)
	}
	r, err := c.propose(ctx, 0, &machine.AllocateIDs{Count: n})
	return r.Number, err
}
