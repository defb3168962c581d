package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/group"
	"github.com/sluicemq/sluice/egress/fetch"
	"github.com/sluicemq/sluice/ingress/admission"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/logmetrics"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/resident"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/pipeline/promobs"
)

// node is a broker. Its parts are listed in the order in which they are opened.
type node struct {
	cfg Config
	log *slog.Logger
	reg *prometheus.Registry

	memory memory.Map

	listeners *listeners
	cluster   *consensus.Cluster
	storage   *storage
	fetch     *fetch.Server
	groups    *group.Coordinator
	gate      *admission.Gate
	handlers  *kafka.Handlers
	server    *kafka.Server

	tracing *tracing
	logs    *logmetrics.Collector
	limiter *limiter

	serving atomic.Pointer[error] // nil: it serves; else the reason
}

var (
	errStarting = errors.New("starting: the WAL is being recovered")
	errDraining = errors.New("draining: the broker is being stopped")
)

// Run runs a broker until ctx is done, then stops it: requests in progress are answered and
// pipelines drained, see stop.go. ready, if not nil, is called once the broker serves. The error
// says what could not be opened, what failed, or what hung.
func Run(ctx context.Context, cfg Config, log *slog.Logger, ready func(Live)) error {
	if err := cfg.Settings.Validate(); err != nil {
		return err
	}
	m := cfg.Settings.Memory
	limitHeap(m.RequestBudgetBytes + m.ResponseBudgetBytes + cfg.Settings.Cache.Read.SizeBytes + m.TailIndexBytes + cfg.Settings.Producers.MemoryBytes) // until all is open
	n := &node{cfg: cfg, log: log, reg: prometheus.NewRegistry()}
	n.serving.Store(&errStarting)
	n.reg.MustRegister(cfg.Admin.Build.Collector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &n.memory)
	if err := n.open(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			log.Info("stopped during start", "at", err)
			err = nil
		}
		return errors.Join(err, n.close(newStopping(cfg.Settings.Broker.ShutdownGrace, log)))
	}
	return n.run(ctx, ready)
}

// open opens everything without accepting clients. The listeners come first, since they fail at
// once if their ports are in use.
func (n *node) open(ctx context.Context) (err error) {
	if n.listeners, err = openListeners(n.cfg.Listeners, n.cfg.Settings.Admin.Listen, n.log, n.reg); err != nil {
		return err
	}
	// consensus.Open reads the witness next to the WAL and may remove it, which must not happen
	// while another broker uses the WAL.
	release, err := blockfs.LockUsed(n.cfg.Storage.WALDirectory)
	if err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	n.cluster, err = consensus.Open(ctx, n.cfg.Cluster, n.log, n.reg)
	if err := errors.Join(err, release()); err != nil { // openStorage locks it again, and keeps it
		return fmt.Errorf("metadata: %w", err)
	}
	if err := n.checkTaken(ctx); err != nil {
		return err
	}
	host, port := n.listeners.advertised()
	incarnation, err := n.cluster.RegisterBroker(ctx, meta.Broker{ID: n.cfg.Settings.Broker.ID, Host: host, Port: port, Rack: n.cfg.Listeners.Rack})
	if err != nil {
		return fmt.Errorf("register the broker: %w", err)
	}
	if n.storage, err = openStorage(ctx, n.cfg, n.cfg.Settings.Broker.ID, incarnation, n.cluster, n.log, n.reg); err != nil {
		return err
	}
	n.reportLoss(incarnation)
	n.reg.MustRegister(promobs.New(observed(n.storage.graphs())...))
	if n.limiter, err = newLimiter(n.graphs(), n.cfg.Settings); err != nil {
		return err
	}
	if err := n.openServers(); err != nil {
		return err
	}
	return n.mapMemory()
}

// openServers creates the servers of requests.
func (n *node) openServers() (err error) {
	if n.tracing, err = openTracing(n.cfg.Settings.Tracing, n.cfg.Settings.Broker.ID); err != nil {
		return err
	}
	find := lookup.New(n.cluster, &n.storage.parts.table)
	n.fetch, err = fetch.New(n.cfg.Fetch, fetch.Deps{Lookup: find, Reader: n.storage.reads.entry,
		Clock: clock.System{}, Log: n.log, Registry: n.reg})
	if err != nil {
		return err
	}
	if n.groups, err = group.New(n.cfg.Settings.Groups, n.cluster, clock.System{}, n.log, n.reg); err != nil {
		return err
	}
	dirs, err := newLogDirs(n.cfg, n.storage.parts)
	if err != nil {
		return err
	}
	n.handlers, err = kafka.NewHandlers(n.cfg.API, kafka.Deps{Node: n.cfg.Settings.Broker.ID, Lookup: find, Topics: n.cluster,
		Appender: n.storage.admit, Fetcher: n.fetch, Times: n.storage.times, ProducerIDs: n.cluster,
		Groups: kafka.GroupsFunc(n.serveGroup), GroupMemory: n.groups.Memory, OffsetBytes: n.groups.FetchBytes, LogDirs: dirs, Producers: n.storage.producers, Quorum: n.quorum, Log: n.log, LogLevel: n.cfg.LogLevel, Tracer: n.tracing.tracer()})
	if err != nil {
		return err
	}
	n.logs = logmetrics.New(n.cfg.Settings.Admin.Metrics, n.cfg.Settings.Broker.ID, n.cluster, &n.storage.parts.table, clock.System{})
	n.reg.MustRegister(n.logs)
	n.gate = admission.NewGate(n.cfg.Settings.Memory.RequestBudgetBytes, n.reg)
	identity := func() (string, int32) { return n.cluster.View().ClusterID, n.cfg.Settings.Broker.ID }
	n.server, err = kafka.NewServer(n.cfg.Settings.Network.Requests, identity, n.handlers.Table(), n.gate, n.log, n.reg)
	return err
}

// attestPause is the time between attestations. A restore of an older copy of the metadata goes
// unnoticed only if the copy is newer than the last attestation and the WAL has released nothing
// since.
const attestPause = time.Second

// attest periodically records how far the metadata has got, until ctx is done.
func (n *node) attest(ctx context.Context) {
	tick := time.NewTicker(attestPause)
	defer tick.Stop()
	for failed := false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := n.cluster.Attest()
		if err != nil && !failed {
			n.log.Error("cannot update the copy of the metadata guard beside the WAL; no WAL space is released until it works", "err", err)
		}
		failed = err != nil
	}
}

func (n *node) serveGroup(ctx context.Context, who kafka.GroupClient, version int16, req kmsg.Request, reply func(kmsg.Response)) {
	n.groups.Serve(ctx, who.ID, who.Host, version, req, reply)
}

// run serves until ctx is done or something essential fails, then stops. Downstream parts start
// first and stop last.
func (n *node) run(ctx context.Context, ready func(Live)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	storage := n.runStorage(cancel)
	n.listeners.admin(n.cfg.Admin, n.admin().handler(), n.log, cancel)
	for _, g := range n.graphs() {
		select {
		case <-g.Ready():
		case <-ctx.Done():
		}
	}
	var beside sync.WaitGroup
	if ctx.Err() == nil {
		n.listeners.serve(n.server.ServeConn, cancel)
		n.serving.Store(nil)
		n.log.Info("serving", "addresses", n.listeners.addresses())
		if ready != nil {
			ready(Live{n})
		}
		beside.Go(func() { n.collect(ctx) })
		beside.Go(func() { n.attest(ctx) })
		beside.Go(func() { n.logs.Run(ctx) })
		beside.Go(func() { resident.Keep(ctx, startTime, time.Minute, n.notShrunk) })
	}
	select {
	case <-ctx.Done():
	case <-n.cluster.Failed():
		cancel(n.cluster.Err())
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) {
		cause = nil // asked to stop
	}
	n.log.Info("stopping", "why", cause, "within", n.cfg.Settings.Broker.ShutdownGrace)
	n.serving.Store(&errDraining)
	s := newStopping(n.cfg.Settings.Broker.ShutdownGrace, n.log)
	err := n.drain(s, storage)
	s.without("checks of memory and metadata", beside.Wait)
	err = errors.Join(cause, err, n.close(s))
	n.log.Info("stopped", "took", s.took())
	return err
}

// startTime is the time after which memory used only at start has been released.
const startTime = 5 * time.Second

func (n *node) notShrunk(err error) {
	n.log.Debug("cannot release pages of the program", "err", err)
}

// offlineShards returns the numbers of the offline metadata shards, sorted.
func (n *node) offlineShards() []int { return slices.Sorted(maps.Keys(n.cluster.Offline())) }

func observed(graphs []*pipeline.Graph) []promobs.Graph {
	out := make([]promobs.Graph, len(graphs))
	for i, g := range graphs {
		out[i] = g
	}
	return out
}

func (n *node) graphs() []*pipeline.Graph {
	return n.storage.graphs()
}

func (n *node) admin() *admin {
	return &admin{graphs: n.graphs(), metrics: n.reg, memory: &n.memory, limiter: n.limiter, offline: n.offlineShards,
		damage: n.damageReport, view: n.cluster.View, lose: n.storage.giveUpRange, ready: func() error {
			if why := n.serving.Load(); why != nil {
				return *why
			}
			return nil
		}}
}
