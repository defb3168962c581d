package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/replica"
	"github.com/sluicemq/sluice/stages/admit"
	"github.com/sluicemq/sluice/stages/batch"
	"github.com/sluicemq/sluice/stages/cache"
	"github.com/sluicemq/sluice/stages/compact"
	"github.com/sluicemq/sluice/stages/locate"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/readcache"
	"github.com/sluicemq/sluice/stages/retain"
	"github.com/sluicemq/sluice/stages/sequence"
	"github.com/sluicemq/sluice/stages/trim"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// metadata is the part of the consensus that storage uses.
type metadata interface {
	views
	PrepareObject(ctx context.Context, id meta.ObjectID, parts []topic.Partition, ttl time.Duration) error
	CommitObject(ctx context.Context, id meta.ObjectID, parts []meta.CommitPart) ([]meta.PartResult, error)
	RecordWAL(ctx context.Context, w meta.WAL) error
	RecordWALStart(ctx context.Context, s meta.WALStart) error
	RecordClaim(ctx context.Context, c meta.Claim) error
	Attest() error
	AlterISR(ctx context.Context, items []machine.ISRItem) []error
	ReplaceObjects(ctx context.Context, p topic.Partition, r meta.Replacement) error
	upload.Garbage
	retain.Metadata
}

// isrChanges proposes changes of ISRs.
type isrChanges struct{ metadata }

func (m isrChanges) AlterISR(ctx context.Context, p topic.Partition, c replication.ISRChange) error {
	return m.metadata.AlterISR(ctx, []machine.ISRItem{{Partition: p, Change: c}})[0]
}

// storage holds the pipelines of a broker and their data.
type storage struct {
	log       *wal.Log
	dir       *blockfs.Dir
	guard     *blockfs.Dir
	pool      *blockfs.Pool // of WAL images, including those in the write cache
	objects   *objectstore.Store
	owned     *ownedStore // for the stages that change it
	parts     *partitions
	ledger    *upload.Ledger
	uploader  *upload.Uploader
	compactor *compact.Compactor
	fetcher   *objectfetch.Fetcher
	tracker   *unreadable.Tracker
	meta      metadata
	index     *memory.Account // of all tail indexes
	producers *producers
	stopping  chan struct{} // closed by letGo
	newWAL    bool          // no WAL existed when storage was opened
	// prepareTTL is how long writing an object may take.
	prepareTTL time.Duration

	logger      *slog.Logger
	damagedLeft *atomic.Int64              // of damaged, not given up yet
	damaged     map[topic.Partition]damage // as they were found
	acceptLost  bool                       // damaged ranges are given up

	admit *admit.Stage
	reads *readStages
	times *timeIndex

	write, read, upload, compact, retain *pipeline.Graph

	work       context.Context // of work that letGo abandons
	endWork    context.CancelFunc
	background sync.WaitGroup // goroutines that use work
	lettingGo  sync.Once
}

// openStorage opens directories and recovers; nothing runs yet. incarnation is that of this start
// of the broker.
func openStorage(ctx context.Context, cfg Config, broker int32, incarnation uint64, m metadata, log *slog.Logger, reg prometheus.Registerer) (*storage, error) {
	s := &storage{meta: m, logger: log, prepareTTL: cfg.Storage.Upload.PrepareTTL, stopping: make(chan struct{}), index: memory.NewAccount(cfg.Settings.Memory.TailIndexBytes)}
	s.work, s.endWork = context.WithCancel(context.Background())
	s.producers = newProducers(cfg.Settings.Producers.Config, m.View, log, reg)
	s.parts = newPartitions(broker, incarnation, m, s.index, s.producers)
	if err := s.open(ctx, cfg, broker, log, reg); err != nil {
		return nil, errors.Join(err, s.close())
	}
	r := &recovery{parts: s.parts, ledger: s.ledger}
	report, err := r.run(ctx, s.log)
	if err != nil {
		return nil, errors.Join(walWords(err, cfg.Storage.WALDirectory), s.close())
	}
	r.tell(log, report)
	s.producers.openAll(broker)
	s.damaged, s.acceptLost = r.damaged, cfg.Storage.AcceptLostWAL
	damagedPartitions(s, reg)
	s.owned.owner = newOwner(s.objects, m, broker, s.log.ID(), cfg.Storage.AcceptOtherStore, log)
	if err := s.claimStore(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.recordWAL(ctx, broker); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *storage) open(ctx context.Context, cfg Config, broker int32, log *slog.Logger, reg prometheus.Registerer) (err error) {
	if s.objects, err = objectstore.Open(ctx, cfg.Storage.ObjectURL, objectstore.WithConfig(cfg.Storage.Objects), objectstore.WithRegistry(reg), objectstore.WithLogger(log)); err != nil {
		return err
	}
	s.owned = &ownedStore{Store: s.objects}
	s.producers.object = s.objects.Object
	s.pool = blockfs.NewPool(cfg.Settings.Cache.Write.SizeBytes + cfg.Settings.Memory.WALBufferBytes)
	if err := s.openWAL(ctx, cfg, broker, log, reg); err != nil {
		return err
	}
	images := cache.New(cfg.Settings.Cache.Write.SizeBytes, reg)
	s.pool.OnShort(func(n int64) {
		if n > cfg.Settings.Memory.WALBufferBytes/2 { // readers may hold the other half, and evicted images
			images.Shed(n + cfg.Settings.Memory.WALBufferBytes/2)
		}
	})
	blocks := readcache.New(cfg.Settings.Cache.Read.SizeBytes, reg)
	s.tracker = unreadable.New(cfg.Settings.ObjectStorage.Unreadable, unreadable.Deps{Records: s.recordsAt, Clock: clock.System{}, Log: log, Registry: reg})
	locator := locate.New(func(p topic.Partition) (*meta.Partition, bool) { return s.meta.View().Partition(p) }, s.missing)
	s.fetcher = objectfetch.New(cfg.Settings.ObjectStorage.Read, objectfetch.Deps{Store: s.objects, Cache: blocks, Tracker: s.tracker, Next: s.objectAt,
		Named: func(p unreadable.Place) bool { return len(s.recordsAt(p)) > 0 }, Gone: gone(locator), Clock: clock.System{}, Registry: reg})
	s.ledger = upload.NewLedger(cfg.Storage.Upload, clock.System{}, reg)
	s.ledger.KeepCached(images.Limit)
	s.uploader = upload.NewUploader(cfg.Storage.Upload, upload.Deps{Log: s.log, Images: images, Metadata: s.meta,
		Store: s.owned, Snapshots: s.producers.snapshots, Clock: clock.System{}, Logger: log, Registry: reg})
	s.admit = admit.New(cfg.Settings.Stages.Sequence.Workers, clock.System{}, reg)
	s.reads = &readStages{entry: pipeline.NewInlet[*flow.Fetch](), locator: locator, cache: images, images: cfg.Settings.Memory.WALBufferBytes,
		readcache: blocks, tracker: s.tracker, log: s.log, objects: s.fetcher, trim: trim.New(reg)}
	s.times = &timeIndex{locator: locator, log: s.log, objects: s.fetcher, tracker: s.tracker}
	s.parts.replicas.Use(replica.Deps{Log: s.log, Images: images, Metadata: isrChanges{s.meta}, Find: s.parts.table.Get, Producers: s.parts.producers,
		Forget:    func(state *partition.State) *idempotence.Producers { return s.producers.forget(state.ID) },
		Committed: s.ledger.Committed, Logger: log})
	s.wire(cfg, images, log)
	s.wireRetention(cfg.Settings.Retention, log, reg)
	s.wireCompaction(cfg.Storage.Compact, log, reg)
	return nil
}

// objectAt returns the object that holds an offset.
func (s *storage) objectAt(p topic.Partition, offset int64) (meta.ObjectRef, bool) {
	m, ok := s.meta.View().Partition(p)
	if !ok {
		return meta.ObjectRef{}, false
	}
	i, ok := m.ObjectAt(offset)
	if !ok {
		return meta.ObjectRef{}, false
	}
	return m.Objects[i], true
}

// bounded limits a group of several requests to half of the image memory, a fifth of which may
// be unused: readers may hold the other half.
func bounded(c batch.Config, images int64) batch.Config {
	c.ImageBytes = images / 2 / 5 * 4
	return c
}

func (s *storage) wire(cfg Config, images *cache.Cache, log *slog.Logger) {
	s.write = pipeline.New("write", pipeline.WithLogger(log))
	w := &writeStages{admit: s.admit, sequence: sequence.New(clock.System{}, s.parts.producers),
		batch: batch.New(bounded(cfg.Settings.Stages.Batch.Config, cfg.Settings.Memory.WALBufferBytes), groupLog{s.parts.replicas, s.log}), wal: s.log, replicas: s.parts.replicas, cache: images, ledger: s.ledger, lanes: cfg.Settings.Stages.Sequence.Workers,
		index: &tailIndex{account: s.index, hurry: s.ledger.Hurry, stopping: s.stopping}}
	w.wire(s.write, cfg.Settings.Stages)
	s.read = pipeline.New("read", pipeline.WithLogger(log))
	s.reads.wire(s.read, cfg.Settings.Stages)
	s.upload = pipeline.New("upload", pipeline.WithLogger(log), pipeline.WithoutDrain())
	cuts := pipeline.From(s.upload, "ledger", s.ledger)
	pipeline.Into(cuts, "upload", s.uploader, pipeline.Depth(1))
}

// run runs the pipelines until ctx is done or one of them fails, then drains those of writes
// and reads. The others are abandoned; background.Wait returns when they have ended.
func (s *storage) run(ctx context.Context, grace time.Duration) error {
	failed := make(chan *running, len(s.graphs()))
	write, read := start(s.write, grace, failed), start(s.read, grace, failed)
	for _, g := range []*pipeline.Graph{s.upload, s.compact, s.retain} {
		s.inBackground(start(g, grace, failed).until)
	}
	following, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { s.parts.follow(following, s.log.Reclaim) })
	tasks.Go(func() { s.parts.replicas.Tick(following) })
	s.inBackground(func(ctx context.Context) { s.uploader.Sweep(ctx, s.meta, s.owned) }, s.relieve, s.producers.run, s.giveUp, s.owned.owner.watch)
	var errs []error
	select {
	case <-ctx.Done():
	case r := <-failed:
		errs = append(errs, r.err)
	case <-s.owned.owner.refused:
		errs = append(errs, s.owned.owner.ensure(ctx))
	}
	s.letGo()
	write.cancel()
	read.cancel()
	for _, r := range []*running{write, read} {
		if <-r.over; !slices.Contains(errs, r.err) {
			errs = append(errs, r.err)
		}
	}
	stop()
	tasks.Wait()
	s.parts.replicas.Stop(replication.ErrNotLeader)
	return errors.Join(errs...)
}

// graphs returns the pipelines.
func (s *storage) graphs() []*pipeline.Graph {
	return []*pipeline.Graph{s.write, s.read, s.upload, s.compact, s.retain}
}

// relieve requests uploads when the WAL is short of space.
func (s *storage) relieve(ctx context.Context) {
	for {
		select {
		case <-s.log.Pressure():
			s.ledger.Hurry(upload.Pressure)
		case <-ctx.Done():
			return
		}
	}
}

// running is a running pipeline.
type running struct {
	cancel context.CancelFunc
	over   chan struct{}
	err    error // its result; set before over is closed
}

// start runs g and sends to failed when it ends.
func start(g *pipeline.Graph, grace time.Duration, failed chan<- *running) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, over: make(chan struct{})}
	go func() {
		if err := g.Run(ctx, grace); err != nil {
			r.err = fmt.Errorf("%s pipeline: %w", g.Name(), err)
		}
		close(r.over)
		failed <- r
	}()
	return r
}

// until ends the pipeline with ctx, and waits for it.
func (r *running) until(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-r.over:
	}
	r.cancel()
	<-r.over
}

// close closes files and directories. Nothing may run any more.
func (s *storage) close() error {
	var errs []error
	if s.fetcher != nil {
		s.fetcher.Close()
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	if s.guard != nil {
		errs = append(errs, s.guard.Close())
	}
	if s.objects != nil {
		errs = append(errs, s.objects.Close())
	}
	return errors.Join(errs...)
}
