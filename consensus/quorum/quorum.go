package quorum

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/statemachine"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/raftnet"
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

	clusterID string // set once shard 0 answers; guarded by mu

	ids      *identity
	net      *raftnet.Net // nil: alone
	leaders  *leaders
	ready    chan struct{} // closed once all shards answer
	changing sync.Mutex    // held while this controller changes members

	// Guarded by mu.
	open    bool         // host is set
	started map[int]bool // by shard
	voting  map[int]bool // shards that this controller has joined
	failure error        // why it cannot take part
}

// Open starts the controller's replicas and returns once all of them have applied what was
// committed before.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Quorum, error) {
	if cfg.spreadAfter == 0 {
		cfg.spreadAfter = spreadAfter
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	routeRaftLog(log)
	if err := adoptDirectory(cfg); err != nil {
		return nil, err
	}
	found, err := replicasOnDisk(cfg)
	if err != nil {
		return nil, err
	}
	q := &Quorum{cfg: cfg, log: log, trim: make(chan int, cfg.Shards+1), leaders: newLeaders(), started: make(map[int]bool), ready: make(chan struct{})}
	if q.ids, err = loadIdentity(cfg, found); err != nil {
		return nil, err
	}
	cfg.ID = q.ids.get().Controller
	q.cfg = cfg
	for shard := range cfg.Shards + 1 {
		q.logs = append(q.logs, &logSize{shard: shard, limit: cfg.SnapshotBytes, trim: q.trim})
		q.feeds = append(q.feeds, newFeed())
	}
	q.life, q.stop = context.WithCancel(context.Background())
	if err := q.listen(); err != nil {
		return nil, err
	}
	if q.host, err = openHost(cfg, q.ids, q.net, q.leaders, log); err != nil {
		q.end()
		return nil, errors.Join(err, q.closeNet())
	}
	q.mu.Lock()
	q.open = true
	q.mu.Unlock()
	registerMetrics(q, reg)
	q.tasks.Go(q.watchDisk)
	if q.net == nil {
		if err := q.startUnlessDiskFails(ctx, q.start); err != nil {
			return nil, errors.Join(q.Close(), err)
		}
		close(q.ready)
	} else {
		q.tasks.Go(q.takePart)
		q.tasks.Go(func() { q.spread(q.life) })
	}
	q.tasks.Go(func() { q.trims(q.life) })
	return q, nil
}

// listen opens the port for other controllers, if there is one.
func (q *Quorum) listen() (err error) {
	if !q.cfg.clustered() {
		return nil
	}
	others := q.cfg.others()
	advertise := others.Advertise
	if advertise == "" {
		advertise = others.Members[q.cfg.ID]
	}
	peers := q.ids.get().Peers
	if peers == nil {
		peers = make(map[int32]string)
	}
	maps.Copy(peers, others.Members) // what the operator says is newer
	delete(peers, q.cfg.ID)
	q.net, err = raftnet.New(raftnet.Config{ID: q.cfg.ID, Incarnation: q.ids.get().Incarnation, Listen: q.cfg.RaftAddress, Advertise: advertise,
		TLS: others.Internal, Peers: peers, Handle: q.handle, Down: q.down, Learned: q.learned, Cluster: q.ids.cluster, Log: q.log})
	return err
}

// learned keeps the address of another controller for the next start.
func (q *Quorum) learned(id int32, address string) {
	err := q.ids.change(func(r *record) {
		if r.Peers == nil {
			r.Peers = make(map[int32]string)
		}
		r.Peers[id] = address
	})
	if err != nil {
		q.log.Warn("cannot keep the address of another controller", "controller", id, "err", err)
	}
}

func (q *Quorum) closeNet() error {
	if q.net == nil {
		return nil
	}
	return q.net.Close()
}

// takePart starts this controller's replicas in a cluster, has those join that are new, and closes
// ready once all shards answer.
func (q *Quorum) takePart() {
	err := q.startUnlessDiskFails(q.life, func(ctx context.Context) error {
		if err := q.form(ctx); err != nil {
			return err
		}
		for shard := range q.host.logs.offlineShards() {
			if err := q.rejoin(shard); err != nil {
				return err
			}
		}
		for shard := range q.cfg.Shards + 1 {
			if q.mustJoin(shard) {
				continue
			}
			if err := q.startShard(shard); err != nil {
				return err
			}
		}
		q.join(ctx)
		for {
			err := q.upToDate(ctx)
			if err == nil || !errors.Is(err, meta.ErrUnavailable) || ctx.Err() != nil {
				return err
			}
			q.log.Warn("waiting for a majority of the controllers", "err", err)
		}
	})
	if err != nil && q.life.Err() == nil {
		q.log.Error("this controller cannot take part", "err", err)
		q.fail(err)
		return
	}
	close(q.ready)
}

// Ready returns once this controller's replicas have applied what was committed before. On a
// cluster that is not before a majority of the controllers is there, and not before this one was
// added.
func (q *Quorum) Ready(ctx context.Context) error {
	select {
	case <-q.ready:
		return q.startErr()
	case <-q.life.Done():
		return errors.Join(fmt.Errorf("%w: this node is closed", meta.ErrUnavailable), q.startErr())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fail records why this controller cannot take part.
func (q *Quorum) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failure = err
	q.stop()
}

func (q *Quorum) startErr() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failure
}

// Close stops the replicas. Calls in progress fail.
func (q *Quorum) Close() error {
	q.stepDown()
	q.end()
	q.tasks.Wait()
	q.calls.Wait()
	return errors.Join(q.host.close(), q.closeNet(), q.host.witness.close())
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
func (q *Quorum) Offline() map[int]error { return q.host.logs.offlineShards() }

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
func (q *Quorum) startUnlessDiskFails(ctx context.Context, start func(context.Context) error) error {
	q.host.latch.Block()
	done := make(chan error, 1)
	go func() { done <- start(ctx) }()
	select {
	case err := <-done:
		return err
	case <-q.Failed():
		return q.Err()
	}
}

// start starts all shards of a node alone and waits until they are up to date. The number of
// shards must be the one that the cluster was created with; if the disk has a different number,
// shard 0 is asked before any is created.
func (q *Quorum) start(ctx context.Context) error {
	if err := q.form(ctx); err != nil {
		return err
	}
	var first int
	if has := q.stored(); has != 0 && has != q.cfg.Shards+1 {
		if err := errors.Join(q.startShard(0), q.agree(ctx)); err != nil {
			return err
		}
		first = 1
	}
	for shard := first; shard <= q.cfg.Shards; shard++ {
		if q.host.logs.isOffline(shard) != nil {
			continue
		}
		if err := q.startShard(shard); err != nil {
			return err
		}
	}
	return q.upToDate(ctx)
}

// upToDate returns once all shards that are not offline answer reads.
func (q *Quorum) upToDate(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return q.agree(ctx) })
	for shard := 1; shard <= q.cfg.Shards; shard++ {
		if q.host.logs.isOffline(shard) != nil {
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
		if q.host.logs.isOffline(shard) != nil || q.host.HasNodeInfo(raftShard(shard), q.ids.replica(shard)) {
			n++
		}
	}
	return n
}

// mustJoin reports whether this controller's replica of a shard has to be admitted by others before
// it can start.
func (q *Quorum) mustJoin(shard int) bool {
	_, first := q.ids.get().first(shard)
	return !first && !q.host.HasNodeInfo(raftShard(shard), q.ids.replica(shard))
}

// joiningShards returns the shards of which this controller may not be a voter yet.
func (q *Quorum) joiningShards() (all []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for shard := range q.cfg.Shards + 1 {
		if _, first := q.ids.get().first(shard); !first && !q.voting[shard] {
			all = append(all, shard)
		}
	}
	return all
}

// joined records that this controller votes in a shard.
func (q *Quorum) joined(shard int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.voting == nil {
		q.voting = make(map[int]bool)
	}
	q.voting[shard] = true
}

func (q *Quorum) isStarted(shard int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.started[shard]
}

func (q *Quorum) startShard(shard int) error {
	r := q.ids.replica(shard)
	members, first := q.ids.get().first(shard)
	there := q.host.HasNodeInfo(raftShard(shard), r)
	if there {
		members = nil // it knows them
	}
	c := shardConfig(q.cfg, shard, r)
	_, again := q.ids.get().Replicas[shard]
	c.IsNonVoting = !first && (!there || again || q.ids.get().Cluster != unknownCluster) // as it was when it joined
	create := func(uint64, uint64) statemachine.IStateMachine {
		return newReplica(shard, q.logs[shard], q.feeds[shard])
	}
	err := unpanicked(func() error { return q.host.StartReplica(members, !first && !there, create, c) })
	if err != nil {
		return fmt.Errorf("metadata shard %d in %s: %w", shard, q.cfg.Directory, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.started[shard] = true
	return nil
}

// agree names the cluster if it has no name yet, tells it of changes that shard 0 has lost, and checks
// the number of shards.
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
	if q.LostChanges() && !cluster.Lossy {
		if _, _, err := q.Propose(ctx, 0, machine.Encode(&machine.RecordLoss{})); err != nil {
			return err
		}
	}
	if int(cluster.Shards) != q.cfg.Shards {
		return fmt.Errorf("%w: %s was created with %d, the config says %d", ErrShards, q.cfg.Directory, cluster.Shards, q.cfg.Shards)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clusterID = cluster.ID
	return nil
}

// Propose has a shard apply an encoded command. It returns the encoded result and the index at
// which the command was applied. meta.ErrUnavailable means that it may or may not be applied,
// now or later.
func (q *Quorum) Propose(ctx context.Context, shard int, cmd []byte) (result []byte, index uint64, err error) {
	err = q.retry(ctx, shard, false, func(ctx context.Context) error {
		r, err := q.host.SyncPropose(ctx, q.host.GetNoOPSession(raftShard(shard)), cmd)
		result, index = r.Data, r.Value
		return err
	})
	return result, index, err
}

// ReadIndex returns the index of the last command that the shard had applied when it was called,
// or a later one: whoever has applied it has seen every change acknowledged before the call.
func (q *Quorum) ReadIndex(ctx context.Context, shard int) (index uint64, err error) {
	err = q.retry(ctx, shard, true, func(ctx context.Context) error {
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
	err = q.retry(ctx, shard, true, func(ctx context.Context) (err error) {
		out, err = q.host.SyncRead(ctx, raftShard(shard), f)
		return err
	})
	return out, err
}

// attempt calls f. In a cluster it is ended when the answer can no longer come, since the shard has
// another leader.
func (q *Quorum) attempt(ctx context.Context, shard int, f func(context.Context) error) error {
	if q.net == nil {
		return f(ctx)
	}
	ctx, end := q.leaders.begin(ctx, shard)
	defer end()
	return f(ctx)
}

// notAccepted reports whether an error means that the shard will never apply the proposal: it has no
// leader, is overloaded, or has not been started here.
func notAccepted(err error) bool {
	return errors.Is(err, dragonboat.ErrShardNotReady) || errors.Is(err, dragonboat.ErrSystemBusy) || errors.Is(err, dragonboat.ErrShardNotFound)
}

// retry calls f until it reaches the shard or the time is up. With again, f is repeated as well when
// it is not known whether it reached the shard.
func (q *Quorum) retry(ctx context.Context, shard int, again bool, f func(context.Context) error) error {
	if err := q.host.logs.isOffline(shard); err != nil && !q.cfg.clustered() {
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
		err := q.attempt(ctx, shard, f)
		if err == nil {
			return nil
		}
		if notAccepted(err) || again && q.net != nil && ctx.Err() == nil {
			select {
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
	if q.life.Err() != nil || !q.open {
		return false
	}
	q.calls.Add(1)
	return true
}

const retryPause = 10 * time.Millisecond
