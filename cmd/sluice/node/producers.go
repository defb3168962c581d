package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/topic"
)

// snapshotBytes is the part of the idempotent producers' memory used for snapshots being read or
// written.
func snapshotBytes(memory int64) int64 { return memory / 8 * 3 }

// SectionBytes is the maximum size of one snapshot, given the memory for all producers: merging
// two takes an eighth of it, and that much is read at once at start.
func SectionBytes(memory int64) int64 { return memory / 32 }

// producers holds the idempotent producers of this broker's partitions. It reads their
// snapshots from the object store in the background; until then, partitions only accept what
// can be decided without them.
type producers struct {
	cfg       idempotence.Config
	table     *idempotence.Table
	snapshots *memory.Account
	log       *slog.Logger
	view      func() *meta.View
	object    func(key string) object.RangeReader
	metrics   producerMetrics

	mu      sync.Mutex
	known   map[topic.Partition]*idempotence.Producers
	waiting []topic.Partition // to be loaded
	loading int               // waiting or being loaded
	more    chan struct{}     // capacity 1
}

type producerMetrics struct {
	failures, lost prometheus.Counter
}

func newProducers(cfg idempotence.Config, view func() *meta.View, log *slog.Logger, reg prometheus.Registerer) *producers {
	p := &producers{cfg: cfg, table: idempotence.NewTable(cfg.MemoryBytes - snapshotBytes(cfg.MemoryBytes)), snapshots: memory.NewAccount(snapshotBytes(cfg.MemoryBytes)),
		log: log, view: view, known: make(map[topic.Partition]*idempotence.Producers), more: make(chan struct{}, 1)}
	p.metrics = producerMetrics{
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_producers_load_failures_total",
			Help: "Attempts to read a snapshot of idempotent producers that failed."}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_producers_lost_snapshots_total",
			Help: "Snapshots of idempotent producers given up because they stayed missing or damaged in the object store."}),
	}
	stat := func(f func(idempotence.Stats) int64) func() float64 {
		return func() float64 { return float64(f(p.table.Stats())) }
	}
	reg.MustRegister(p.metrics.failures, p.metrics.lost,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_producers_ids",
			Help: "Known idempotent producers; one that writes to two partitions counts twice."}, stat(func(s idempotence.Stats) int64 { return s.IDs })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sluice_producers_evicted_total",
			Help: "Idempotent producers forgotten early because producers.memory_bytes was used up."}, stat(func(s idempotence.Stats) int64 { return s.Evicted })),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sluice_producers_expired_total",
			Help: "Idempotent producers forgotten after being idle for producers.expiration_ms."}, stat(func(s idempotence.Stats) int64 { return s.Expired })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_producers_loading_partitions",
			Help: "Partitions whose snapshots of idempotent producers are not loaded yet; their producers have to retry."}, func() float64 { return float64(p.unread()) }))
	return p
}

// Memory returns the bytes in use and the limit.
func (p *producers) Memory() (used, limit int64) {
	return p.table.Stats().Bytes + p.snapshots.Used(), p.cfg.MemoryBytes
}

func (p *producers) unread() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loading
}

// of returns the producers of a partition.
func (p *producers) of(id topic.Partition) *idempotence.Producers {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ps, ok := p.known[id]; ok {
		return ps
	}
	m, ok := p.view().Partition(id)
	if !ok {
		return p.table.Open() // its topic is deleted
	}
	ps := p.table.Open()
	if len(m.Producers.Sections) > 0 {
		first, last, about := m.Producers.Sections[0].FirstID, m.Producers.Sections[0].LastID, 0
		for _, s := range m.Producers.Sections {
			first, last, about = min(first, s.FirstID), max(last, s.LastID), about+int(s.IDs)
		}
		ps = p.table.OpenLoading(first, last, about)
		p.waiting = append(p.waiting, id)
		p.loading++
		p.wake()
	}
	if err := ps.Restore(m.Producers.Recent, p.before()); err != nil {
		p.log.Error("cannot read the recent idempotent producers of a partition; their retries are not recognized", "topic", nameOf(p.view(), id.Topic), "partition", id.Index, "err", err)
	}
	p.known[id] = ps
	return ps
}

func (p *producers) wake() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// before returns the time (ms) such that producers idle since then are forgotten.
func (p *producers) before() int64 { return time.Now().Add(-p.cfg.Expiration).UnixMilli() }

// ProducerCount returns how many producers a partition has.
func (p *producers) ProducerCount(id topic.Partition) int {
	if ps := p.opened(id); ps != nil {
		return ps.Len()
	}
	return 0
}

// ProducerStates returns the producers of a partition by id; ok is false while some are still
// being loaded.
func (p *producers) ProducerStates(id topic.Partition) (states []idempotence.State, ok bool) {
	if ps := p.opened(id); ps != nil {
		return ps.States()
	}
	return nil, true
}

// opened returns the producers of a partition, nil if it never had any.
func (p *producers) opened(id topic.Partition) *idempotence.Producers {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id]
}

// lastBatch returns the base offset of a producer's last known batch.
func (p *producers) lastBatch(id topic.Partition, producer int64) (base int64, ok bool) {
	ps := p.opened(id)
	if ps == nil {
		return 0, false
	}
	return ps.Last(producer)
}

// close drops a partition that no longer exists.
func (p *producers) close(id topic.Partition) {
	p.mu.Lock()
	ps := p.known[id]
	delete(p.known, id)
	p.mu.Unlock()
	if ps != nil {
		ps.Close()
	}
}

// forget drops what is known of a partition's producers, except what the snapshots say.
func (p *producers) forget(id topic.Partition) *idempotence.Producers {
	p.close(id)
	return p.of(id)
}

// openAll opens the partitions with producers of which a broker is a replica.
func (p *producers) openAll(broker int32) {
	for _, t := range p.view().Topics() {
		for i, m := range t.Partitions {
			if slices.Contains(m.Replicas, broker) && (len(m.Producers.Sections) > 0 || len(m.Producers.Recent) > 0) {
				p.of(topic.Partition{Topic: t.ID, Index: int32(i)})
			}
		}
	}
}

// run loads partitions and drops expired producers until ctx is done.
func (p *producers) run(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	room := semaphore.NewWeighted(max(1, snapshotBytes(p.cfg.MemoryBytes)/3))
	slots := semaphore.NewWeighted(loads)
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for id, ok := p.next(); ok; id, ok = p.next() {
			if slots.Acquire(ctx, 1) != nil {
				return
			}
			tasks.Go(func() {
				defer slots.Release(1)
				p.load(ctx, id, room)
			})
		}
		select {
		case <-p.more:
		case <-tick.C:
			p.table.Expire(p.before())
		case <-ctx.Done():
			return
		}
	}
}

// loads is how many partitions are loaded concurrently.
const loads = 16

func (p *producers) next() (id topic.Partition, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return id, false
	}
	id, p.waiting = p.waiting[0], p.waiting[1:]
	return id, true
}

// load reads the sections of a partition. Uploads may merge them meanwhile; after a failed
// read, those in the current metadata are read.
func (p *producers) load(ctx context.Context, id topic.Partition, room *semaphore.Weighted) {
	p.mu.Lock()
	ps := p.known[id]
	p.mu.Unlock()
	began, done := time.Now(), make(map[meta.ProducerSection]bool)
	for pause := firstLoadPause; ; pause = min(2*pause, lastLoadPause) {
		m, ok := p.view().Partition(id)
		if !ok || ps == nil {
			break // its topic is deleted
		}
		err := p.loadSections(ctx, id, ps, m.Producers.Sections, done, room, time.Since(began) > giveUpLoad)
		if err == nil {
			break
		}
		p.metrics.failures.Inc()
		if pause == firstLoadPause || pause == lastLoadPause {
			p.log.Error("cannot load the idempotent producers of a partition; retrying, and until then unknown producers have to retry too",
				"topic", nameOf(p.view(), id.Topic), "partition", id.Index, "err", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
	if ps != nil {
		ps.Loaded(time.Now().UnixMilli())
	}
	p.mu.Lock()
	p.loading--
	p.mu.Unlock()
}

const (
	firstLoadPause = 200 * time.Millisecond
	lastLoadPause  = 10 * time.Second
	// giveUpLoad is how long a section may be missing or damaged before its partition continues
	// without it. Clients give up a record after two minutes.
	giveUpLoad = time.Minute
)

// loadSections restores the sections that are not done. If gone, it gives up missing or damaged
// sections.
func (p *producers) loadSections(ctx context.Context, id topic.Partition, ps *idempotence.Producers, sections []meta.ProducerSection,
	done map[meta.ProducerSection]bool, room *semaphore.Weighted, gone bool,
) error {
	for _, s := range sections {
		if done[s] {
			continue
		}
		err := p.loadSection(ctx, ps, s, room)
		if err != nil && gone && lost(err) {
			p.metrics.lost.Inc()
			p.log.Error("giving up a snapshot of idempotent producers: their retries are not recognized, and are appended a second time",
				"topic", nameOf(p.view(), id.Topic), "partition", id.Index, "object", object.Key(s.Object), "producers", s.IDs, "up_to_offset", s.End, "err", err)
			err = nil
		}
		if err != nil {
			return err
		}
		done[s] = true
	}
	return nil
}

// lost reports whether a retry is pointless until someone repairs the store.
func lost(err error) bool { return fault.ClassOf(err) == fault.ClassLost }

func (p *producers) loadSection(ctx context.Context, ps *idempotence.Producers, s meta.ProducerSection, room *semaphore.Weighted) error {
	n := min(s.Length, max(1, snapshotBytes(p.cfg.MemoryBytes)/3))
	if err := room.Acquire(ctx, n); err != nil {
		return err
	}
	defer room.Release(n)
	p.snapshots.Charge(s.Length)
	defer p.snapshots.Refund(s.Length)
	b, err := object.ReadSection(ctx, p.object(object.Key(s.Object)), object.Section{Offset: s.Offset, Length: s.Length, CRC: s.CRC})
	if err != nil {
		return err
	}
	return ps.Restore(b, p.before())
}
