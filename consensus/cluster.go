package consensus

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/statemachine"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// ErrShards: the node was first started with another number of shards.
var ErrShards = errors.New("the number of metadata shards cannot be changed")

// Cluster is this node's part in the metadata. Its methods are safe for
// concurrent use. A change returns once it is durable and View or Group shows it.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	host    *dragonboat.NodeHost
	out     *projection
	metrics metrics

	life  context.Context // ends with Close
	stop  context.CancelFunc
	tasks sync.WaitGroup
	calls sync.WaitGroup // that use host; mu is held to add

	mu   sync.Mutex
	busy map[topic.ID]int // topics that a call is at work on; repair leaves them alone
}

// Open starts the node's replicas and returns when all of them have applied what
// was committed before, so that View is complete.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	routeRaftLog(log)
	host, err := openHost(cfg)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, log: log, host: host, out: newProjection(cfg.Shards), busy: make(map[topic.ID]int)}
	c.metrics = newMetrics(c.out, reg)
	c.life, c.stop = context.WithCancel(context.Background())
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.publish()
	c.tasks.Go(func() { c.follow(c.life) })
	c.tasks.Go(func() { c.repairs(c.life) })
	return c, nil
}

// Close stops the replicas. Calls under way fail.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.tasks.Wait()
	c.calls.Wait()
	return closeHost(c.host)
}

// View returns the latest snapshot of the metadata.
func (c *Cluster) View() *meta.View { return c.out.view.Load() }

// Changed returns a channel that is closed when there is a later View than one
// that is taken after the call.
func (c *Cluster) Changed() <-chan struct{} { return *c.out.next.Load() }

// publish makes visible what was applied.
func (c *Cluster) publish() {
	if c.out.publish() {
		c.metrics.views.Inc()
	}
}

// follow publishes changes that nobody here waits for.
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

// start starts all shards and waits until they are up to date. The shards must be
// as many as the cluster was made with; where the disk does not have just as many,
// shard 0 is asked before any is created.
func (c *Cluster) start(ctx context.Context) error {
	var first int
	if has := c.stored(); has != 0 && has != c.cfg.Shards+1 {
		if err := errors.Join(c.startShard(0), c.agree(ctx)); err != nil {
			return err
		}
		first = 1
	}
	for shard := first; shard <= c.cfg.Shards; shard++ {
		if err := c.startShard(shard); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.agree(ctx) })
	for shard := 1; shard <= c.cfg.Shards; shard++ {
		g.Go(func() error {
			_, err := read(ctx, c, shard, func(*machine.Shard) bool { return true })
			return err
		})
	}
	return g.Wait()
}

// stored returns how many shards are on disk.
func (c *Cluster) stored() (n int) {
	for shard := 0; shard <= maxShards; shard++ {
		if c.host.HasNodeInfo(raftShard(shard), replicaID) {
			n++
		}
	}
	return n
}

func (c *Cluster) startShard(shard int) error {
	members := map[uint64]dragonboat.Target{replicaID: address(c.cfg)}
	create := func(uint64, uint64) statemachine.IStateMachine {
		if shard == 0 {
			return &rootReplica{state: machine.NewRoot(), out: c.out}
		}
		return &shardReplica{shard: shard, state: machine.NewShard(), out: c.out}
	}
	err := unpanicked(func() error { return c.host.StartReplica(members, false, create, shardConfig(c.cfg, shard)) })
	if err != nil {
		return fmt.Errorf("metadata shard %d in %s: %w", shard, c.cfg.Directory, err)
	}
	return nil
}

// agree names the cluster if nobody did, and checks the number of shards.
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
		return fmt.Errorf("%w: %s was made with %d, the config says %d", ErrShards, c.cfg.Directory, cluster.Shards, c.cfg.Shards)
	}
	return nil
}

// RegisterBroker records a process start of a broker: its address, a new
// incarnation, and in every shard a new epoch for the partitions it leads. Nothing
// may be appended before it returns.
func (c *Cluster) RegisterBroker(ctx context.Context, b meta.Broker) (incarnation uint64, err error) {
	r, err := c.propose(ctx, 0, &machine.RegisterBroker{Broker: b})
	if err != nil {
		return 0, err
	}
	incarnation = uint64(r.Number)
	if err := c.everywhere(ctx, &machine.StartBroker{Broker: b.ID, Incarnation: incarnation}); err != nil {
		return 0, err
	}
	c.publish()
	return incarnation, nil
}

// AllocateProducerIDs returns the first of n producer ids that nobody had before.
func (c *Cluster) AllocateProducerIDs(ctx context.Context, n int32) (first int64, err error) {
	if n < 1 {
		return 0, fmt.Errorf("%d producer ids were asked for", n)
	}
	r, err := c.propose(ctx, 0, &machine.AllocateIDs{Count: n})
	return r.Number, err
}
