package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Source is where a broker's metadata comes from: the controllers.
type Source interface {
	// Propose has a shard apply an encoded command. It returns the encoded result and the index
	// at which the command was applied. meta.ErrUnavailable means that it may or may not be
	// applied, now or later.
	Propose(ctx context.Context, shard int, cmd []byte) (result []byte, index uint64, err error)
	// ReadIndex returns an index: whoever has applied the command there has seen every change
	// of the shard that was acknowledged before the call.
	ReadIndex(ctx context.Context, shard int) (index uint64, err error)
	// Follow follows a shard from a position on, the zero one for its beginning.
	Follow(shard int, after quorum.Position) Follower
	// Offline returns the shards that cannot be followed, and why; it is not modified.
	Offline() map[int]error
}

// Follower follows one shard.
type Follower interface {
	// Next returns what follows in the shard, once there is something.
	Next(ctx context.Context) (quorum.Changes, error)
}

// inProcess is a controller in the same process as a Source.
type inProcess struct{ *quorum.Quorum }

// Follow follows a shard.
func (s inProcess) Follow(shard int, after quorum.Position) Follower {
	return s.Quorum.Follow(shard, after)
}

// Cluster is this node's view of, and access to, the metadata. Its methods are safe for
// concurrent use. A change returns once it is durable and visible in View or Group.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	quorum  *quorum.Quorum // the controller in this process; nil: there is none
	source  Source
	copies  []*shardCopy // by shard
	out     *projection
	metrics metrics

	life  context.Context // done when closing
	stop  context.CancelFunc
	tasks sync.WaitGroup

	process [16]byte // random: that of this Cluster

	mu   sync.Mutex
	busy map[topic.ID]int // topics being changed by a call; repair skips them
	self *self            // nil: no broker has started
	// deadSince has the objects that nothing refers to, and since when this broker knows that.
	deadSince map[meta.ObjectID]time.Time
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
	q, err := quorum.Open(ctx, cfg.Config, log, reg)
	if err != nil {
		return nil, err
	}
	if err := q.Ready(ctx); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	c := newCluster(cfg, inProcess{q}, log, reg)
	c.quorum = q
	c.tasks.Go(c.endWithQuorum)
	if err := c.copyShards(ctx, false); err != nil {
		return nil, errors.Join(c.Close(), err)
	}
	c.run()
	return c, nil
}

// Join returns the Cluster of a broker without a controller in its process. cfg.Shards is the number
// that the source has; settings of the Raft logs are not used. It returns once shard 0 is here, and
// the others or cfg.Timeout has passed; a shard that comes later becomes ready by itself, and is
// offline until then. The source stays open when the Cluster is closed.
func Join(ctx context.Context, cfg Config, source Source, log *slog.Logger, reg prometheus.Registerer) (*Cluster, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := newCluster(cfg, source, log, reg)
	if err := c.copyShards(ctx, true); err != nil {
		return nil, errors.Join(c.Close(), err)
	}
	c.run()
	return c, nil
}

func newCluster(cfg Config, source Source, log *slog.Logger, reg prometheus.Registerer) *Cluster {
	c := &Cluster{cfg: cfg, log: log, source: source, out: newProjection(cfg.Shards, source.Offline()), busy: make(map[topic.ID]int), process: uuid.New()}
	c.metrics = newMetrics(c.out, reg)
	c.life, c.stop = context.WithCancel(context.Background())
	for shard := range c.cfg.Shards + 1 {
		c.copies = append(c.copies, newShardCopy(shard, c.out))
	}
	return c
}

// run begins to publish what others change, and repairs.
func (c *Cluster) run() {
	c.out.started()
	c.publish()
	c.tellLost()
	c.tasks.Go(func() { c.follow(c.life) })
	c.tasks.Go(func() { c.repairs(c.life) })
}

// copyShards starts to follow the shards and returns once the copies have what was committed
// before the call. With late, only shard 0 is waited for however long it takes.
func (c *Cluster) copyShards(ctx context.Context, late bool) error {
	var g errgroup.Group
	for shard, s := range c.copies {
		if c.source.Offline()[shard] != nil {
			continue
		}
		c.tasks.Go(func() { c.followShard(s) })
		g.Go(func() error {
			err := c.current(ctx, shard)
			if err != nil && late && shard == 0 {
				err = c.fillLate(ctx, s)
			}
			if err == nil {
				s.open()
			}
			if err == nil || !late || shard == 0 {
				return err
			}
			c.log.Error("a metadata shard cannot be reached; its partitions and groups are offline until it can", "shard", shard, "err", err)
			c.tasks.Go(func() { c.openLate(c.life, s) })
			return nil
		})
	}
	return g.Wait()
}

// fillLate returns once a copy has what was committed before the call. It does not give up.
func (c *Cluster) fillLate(ctx context.Context, s *shardCopy) error {
	for {
		err := c.current(ctx, s.shard)
		if err == nil || ctx.Err() != nil || c.life.Err() != nil {
			return err
		}
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
		}
	}
}

// Close stops the replicas, if they are in this process. Calls in progress fail.
func (c *Cluster) Close() (err error) {
	c.stop()
	if c.quorum != nil {
		err = c.quorum.Close()
	}
	c.tasks.Wait()
	return err
}

// Failed is closed when the metadata disk has failed; Err returns the error. No further changes
// are possible, so the process must exit. Without a controller in this process it never is.
func (c *Cluster) Failed() <-chan struct{} {
	if c.quorum == nil {
		return nil
	}
	return c.quorum.Failed()
}

// Err returns the disk error, with advice on what to do; nil if there is none.
func (c *Cluster) Err() error {
	if c.quorum == nil {
		return nil
	}
	return c.quorum.Err()
}

// endWithQuorum ends all calls when the disk of the metadata fails.
func (c *Cluster) endWithQuorum() {
	select {
	case <-c.quorum.Failed():
		c.stop()
	case <-c.life.Done():
	}
}

// Offline returns the shards that are not here, and why; the caller must not modify it. Their
// partitions have no leader and their groups no coordinator.
func (c *Cluster) Offline() map[int]error {
	all := make(map[int]error)
	for shard := range c.copies {
		if err := c.source.Offline()[shard]; err != nil {
			all[shard] = err
		} else if err := c.offline(shard); err != nil {
			all[shard] = err
		}
	}
	return all
}

// Attest returns once the copy of the guard beside the WAL has the current positions of the logs.
// Call it before data is released because the metadata refers to it elsewhere.
func (c *Cluster) Attest() error {
	if c.quorum == nil {
		return nil
	}
	return c.quorum.Attest()
}

// Quorum returns the state of the Raft group that holds topics, brokers and configs; without a
// controller in this process none is known.
func (c *Cluster) Quorum() quorum.State {
	if c.quorum == nil {
		return quorum.State{}
	}
	return c.quorum.State()
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
