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
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/resident"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/pipeline/promobs"
)

// node is a broker and what it consists of, in the order in which it is opened.
type node struct {
	cfg Config
	log *slog.Logger
	reg *prometheus.Registry

	memory memory.Map

	doors    *doors
	cluster  *consensus.Cluster
	storage  *storage
	fetch    *fetch.Server
	groups   *group.Coordinator
	gate     *admission.Gate
	handlers *kafka.Handlers
	server   *kafka.Server

	tracing *tracing

	serving atomic.Pointer[error] // nil: it serves; else why not
}

var (
	errStarting = errors.New("starting: the WAL is being recovered")
	errDraining = errors.New("draining: the broker is being stopped")
)

// Run runs a broker until ctx is done, then stops it: requests under way are
// answered, pipelines drained. ready, if not nil, is called once it serves. The
// error says what could not be opened, what failed, or what hung.
func Run(ctx context.Context, cfg Config, log *slog.Logger, ready func(Addresses)) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	limitHeap(cfg.RequestBudgetBytes + cfg.Fetch.BudgetBytes + cfg.Storage.ReadCacheBytes + cfg.Storage.TailIndexBytes + cfg.Storage.Producers.MemoryBytes) // until all is open
	n := &node{cfg: cfg, log: log, reg: prometheus.NewRegistry()}
	n.serving.Store(&errStarting)
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &n.memory)
	if err := n.open(ctx); err != nil {
		return errors.Join(err, n.close())
	}
	return errors.Join(n.run(ctx, ready), n.close())
}

// open opens everything but lets nobody in yet. The ports come first, since they
// fail at once where they are in use.
func (n *node) open(ctx context.Context) (err error) {
	if n.doors, err = openDoors(n.cfg.Doors, n.cfg.AdminListen, n.log, n.reg); err != nil {
		return err
	}
	if n.cluster, err = consensus.Open(ctx, n.cfg.Cluster, n.log, n.reg); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	host, port := n.doors.advertised()
	incarnation, err := n.cluster.RegisterBroker(ctx, meta.Broker{ID: n.cfg.Broker, Host: host, Port: port, Rack: n.cfg.Doors.Rack})
	if err != nil {
		return fmt.Errorf("register the broker: %w", err)
	}
	if n.storage, err = openStorage(ctx, n.cfg.Storage, n.cfg.Broker, n.cluster, n.log, n.reg); err != nil {
		return err
	}
	n.reportLoss(incarnation)
	n.reg.MustRegister(promobs.New(observed(n.storage.graphs())...))
	if err := n.openServers(); err != nil {
		return err
	}
	return n.mapMemory()
}

// openServers makes what answers requests.
func (n *node) openServers() (err error) {
	if n.tracing, err = openTracing(n.cfg.Tracing, n.cfg.Broker); err != nil {
		return err
	}
	find := lookup.New(n.cluster, &n.storage.parts.table)
	n.fetch, err = fetch.New(n.cfg.Fetch, fetch.Deps{Lookup: find, Reader: n.storage.reads.entry,
		Clock: clock.System{}, Log: n.log, Registry: n.reg})
	if err != nil {
		return err
	}
	if n.groups, err = group.New(n.cfg.Groups, n.cluster, clock.System{}, n.log, n.reg); err != nil {
		return err
	}
	n.handlers, err = kafka.NewHandlers(n.cfg.API, kafka.Deps{Node: n.cfg.Broker, Lookup: find, Topics: n.cluster,
		Appender: n.storage.admit, Fetcher: n.fetch, Times: n.storage.times, ProducerIDs: n.cluster,
		Groups: kafka.GroupsFunc(n.serveGroup), GroupMemory: n.groups.Memory, Log: n.log, Tracer: n.tracing.tracer()})
	if err != nil {
		return err
	}
	n.gate = admission.NewGate(n.cfg.RequestBudgetBytes, n.reg)
	n.server, err = kafka.NewServer(n.cfg.Kafka, n.handlers.Table(), n.gate, n.log, n.reg)
	return err
}

// attestPause is how much of the metadata may be put back from an older copy unnoticed, where
// the WAL has given nothing back meanwhile.
const attestPause = time.Second

// attest notes from time to time how far the metadata has got, until ctx is done.
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
			n.log.Error("how far the metadata has got cannot be noted beside the WAL; the WAL gives nothing back until it can", "err", err)
		}
		failed = err != nil
	}
}

func (n *node) serveGroup(ctx context.Context, who kafka.GroupClient, version int16, req kmsg.Request, reply func(kmsg.Response)) {
	n.groups.Serve(ctx, who.ID, who.Host, version, req, reply)
}

// run serves until ctx is done or something fails that the broker cannot do
// without. What is downstream starts first and stops last.
func (n *node) run(ctx context.Context, ready func(Addresses)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopStorage, storageOver := n.runStorage(cancel)
	n.doors.admin(n.adminServer(), cancel)
	for _, g := range n.graphs() {
		select {
		case <-g.Ready():
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil {
		n.doors.serve(n.server.ServeConn, cancel)
		n.serving.Store(nil)
		n.log.Info("serving", "addresses", n.doors.addresses())
		if ready != nil {
			ready(n.doors.addresses())
		}
		var shrinking sync.WaitGroup
		shrinking.Go(func() { n.collect(ctx) })
		shrinking.Go(func() { n.attest(ctx) })
		shrinking.Go(func() { resident.Keep(ctx, startTime, time.Minute, n.notShrunk) })
		defer shrinking.Wait()
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
	n.log.Info("stopping", "why", cause)
	n.serving.Store(&errDraining)
	shutErr := n.leave()
	stopStorage()
	storageErr := <-storageOver
	return errors.Join(cause, shutErr, storageErr, n.doors.wait(n.cfg.Grace))
}

// runStorage runs the pipelines. failed is called if they end of themselves.
func (n *node) runStorage(failed context.CancelCauseFunc) (stop func(), over <-chan error) {
	ctx, stop := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		err := n.storage.run(ctx, n.cfg.Grace)
		failed(errStorage)
		result <- err
	}()
	return stop, result
}

var errStorage = errors.New("the pipelines have ended")

// leave sees clients off: long polls and joins are answered, then requests under
// way, then connections are closed. Those that wait for the pipelines are answered
// when these end, at the latest.
func (n *node) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.Grace)
	defer cancel()
	n.doors.closeListeners()
	n.fetch.Close()
	n.groups.Close()
	return n.server.Shutdown(ctx)
}

// close gives everything up that open has opened.
func (n *node) close() error {
	var errs []error
	if n.handlers != nil {
		n.handlers.Close()
	}
	if n.groups != nil {
		n.groups.Close()
	}
	if n.fetch != nil {
		n.fetch.Close()
	}
	n.tracing.close(n.log)
	if n.storage != nil {
		errs = append(errs, n.storage.close())
	}
	if n.cluster != nil {
		errs = append(errs, n.cluster.Close())
	}
	if n.doors != nil {
		errs = append(errs, n.doors.close())
	}
	return errors.Join(errs...)
}

// startTime is when what the start needed is no longer in use.
const startTime = 5 * time.Second

func (n *node) notShrunk(err error) {
	n.log.Debug("pages of the program could not be given back", "err", err)
}

// offlineShards returns the metadata shards that are not served, in order.
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

func (n *node) adminServer() *admin {
	return &admin{log: n.log, graphs: n.graphs(), metrics: n.reg, memory: &n.memory, memoryLimit: n.cfg.MemoryLimitBytes, offline: n.offlineShards,
		damage: n.damageReport, view: n.cluster.View, lose: n.storage.giveUpRange, ready: func() error {
			if why := n.serving.Load(); why != nil {
				return *why
			}
			return nil
		}}
}
