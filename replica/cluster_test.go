package replica_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/replica"
	"github.com/sluicemq/sluice/stages/admit"
	"github.com/sluicemq/sluice/stages/batch"
	"github.com/sluicemq/sluice/stages/cache"
	"github.com/sluicemq/sluice/stages/sequence"
	"github.com/sluicemq/sluice/stages/wal"
)

// cluster is brokers in one process, with WALs on disk and the write pipeline of a broker. The
// metadata is in memory, and so are the links between them: ordered, reliable until they break.
type cluster struct {
	t     *testing.T
	parts []topic.Partition

	mu      sync.Mutex
	records map[topic.Partition]replication.Record
	live    map[int32]uint64
	incs    map[int32]uint64
	brokers map[int32]*broker
	cut     map[int32]bool // brokers whose links are down

	tierEpoch map[topic.Partition]int32 // of the record before the tier end
}

// Live implements replication.Registry, for a copy of live.
type registry map[int32]uint64

func (r registry) Live(b int32) (uint64, bool) { i, ok := r[b]; return i, ok }

// broker is one process of a broker.
type broker struct {
	c      *cluster
	id     int32
	dir    string
	set    *replica.Set
	log    *wal.Log
	fs     *blockfs.Dir
	admit  *admit.Stage
	table  partition.Table
	idem   *idempotence.Table
	cache  *cache.Cache
	stop   context.CancelFunc
	over   chan error
	dead   atomic.Bool
	wake   map[int32]chan struct{}
	mail   chan func()
	closed sync.WaitGroup
	ended  chan struct{}
}

// newCluster returns three brokers, of which the first few lead the partitions.
func newCluster(t *testing.T, parts, leaders int) *cluster {
	c := &cluster{t: t, records: map[topic.Partition]replication.Record{}, live: map[int32]uint64{}, incs: map[int32]uint64{},
		brokers: map[int32]*broker{}, cut: map[int32]bool{}, tierEpoch: map[topic.Partition]int32{}}
	id := topic.NewID()
	for i := range parts {
		p := topic.Partition{Topic: id, Index: int32(i)}
		c.parts = append(c.parts, p)
		lead := int32(i%leaders) + 1
		c.records[p] = replication.Record{Replicas: []int32{1, 2, 3}, Leader: lead, Epoch: 1, Version: 1, ISR: []int32{1, 2, 3}, MinISR: 2}
	}
	for id := range int32(3) {
		c.start(id+1, t.TempDir())
	}
	return c
}

// start starts a process of a broker: it is fenced, recovers, and is live again.
func (c *cluster) start(id int32, dir string) *broker {
	c.mu.Lock()
	c.incs[id]++
	inc := c.incs[id]
	c.mu.Unlock()
	b := &broker{c: c, id: id, dir: dir, over: make(chan error, 1), wake: map[int32]chan struct{}{}, mail: make(chan func(), 1<<16), ended: make(chan struct{}),
		idem: idempotence.NewTable(1 << 22)}
	for to := range int32(3) {
		b.wake[to+1] = make(chan struct{}, 1)
	}
	b.open(inc)
	c.mu.Lock()
	c.live[id] = inc
	delete(c.cut, id)
	c.brokers[id] = b
	for p, r := range c.records {
		c.records[p] = r.Unfence(registry(c.live))
	}
	c.mu.Unlock()
	c.publish()
	c.connect(id)
	return b
}

// open opens the WAL of a broker, recovers it and runs the write pipeline.
func (b *broker) open(inc uint64) {
	t := b.c.t
	logger := slog.New(slog.DiscardHandler)
	b.set = replica.New(b.id, inc, replica.Config{LagTime: 30 * time.Second, GoneTime: 20 * time.Millisecond, HelloTime: 100 * time.Millisecond})
	pool := blockfs.NewPool(64 << 20)
	var err error
	if b.fs, err = blockfs.OpenDir(b.dir, blockfs.Options{}, logger); err != nil {
		t.Fatal(err)
	}
	cfg := setting.Default[wal.Config]()
	cfg.CapacityBytes, cfg.SegmentSizeBytes = 64<<20, 4<<20
	b.log, err = wal.Open(b.fs, cfg, wal.Deps{Pool: pool, Done: func(topic.Partition, int64) bool { return false }, Logger: logger, Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	b.cache = cache.New(1<<20, prometheus.NewRegistry())
	producers := func(*partition.State) *idempotence.Producers { return b.idem.Open() }
	b.set.Use(replica.Deps{Log: b.log, Images: b.cache, Peers: b, Metadata: b, Find: b.table.Get, Producers: producers,
		Forget: producers, Committed: func(*partition.State, int64, int64) {}, Logger: logger})
	b.recover()
	b.admit = admit.New(2, clock.System{}, prometheus.NewRegistry())
	g := pipeline.New("write")
	sequenced := pipeline.Via(pipeline.From(g, "admit", b.admit), "sequence", sequence.New(clock.System{}, producers), pipeline.Lanes(2, admit.LaneKey), pipeline.Depth(64))
	appended := pipeline.Merge("appends", sequenced, pipeline.From(g, "follow", b.set))
	groups := pipeline.Via(appended, "batch", batch.New(batch.DefaultConfig(), groupLog{b.set, b.log}), pipeline.Depth(64))
	durable := pipeline.Via(groups, "wal", b.log, pipeline.Depth(4))
	pipeline.Into(durable, "publish", cache.NewPublisher(b.cache, b.set, nil, nil), pipeline.Depth(16))
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() { b.over <- g.Run(ctx, 10*time.Second) }()
	b.closed.Go(func() { b.set.Tick(ctx) })
	b.closed.Go(b.deliver)
	for to := range b.wake {
		b.closed.Go(func() { b.push(to) })
	}
	<-g.Ready()
}

type groupLog struct {
	*replica.Set
	wal *wal.Log
}

func (l groupLog) Append(ctx context.Context, g *flow.Group) error {
	l.Set.Append(g)
	if err := l.wal.Image(ctx, g); err != nil {
		return err
	}
	l.Set.Imaged(g)
	return nil
}

// recover makes the replicas of what the WAL has.
func (b *broker) recover() {
	logs := map[topic.Partition]*replication.Log{}
	for _, p := range b.c.parts {
		start := b.c.record(p).TierEnd
		b.table.Put(partition.NewState(p, 0, 0, start))
		logs[p] = &replication.Log{Start: start, Appended: start, PrevEpoch: replication.NoEpoch}
		if start > 0 {
			b.c.mu.Lock()
			logs[p].PrevEpoch = b.c.tierEpoch[p]
			b.c.mu.Unlock()
		}
	}
	_, err := b.log.Recover(b.c.t.Context(), func(r wal.Recovered) error {
		s, _ := b.table.Get(r.Partition)
		l := logs[r.Partition]
		if r.Base < l.Start {
			return nil
		}
		if r.Damaged || r.Base != l.Appended {
			return fmt.Errorf("broker %d has %s offset %d after %d", b.id, r.Partition, r.Base, l.Appended)
		}
		if s.Lane.Producers == nil {
			s.Lane.Producers = b.idem.Open()
		}
		s.Lane.Producers.Append(idempotence.Header(r.Batch, time.Now().UnixMilli()), r.Base)
		s.Tail.Append(partition.Entry{Base: r.Base, Position: r.Position, Group: r.Group, Size: r.Size, Count: r.Batch.LastOffsetDelta() + 1, Epoch: r.Epoch})
		s.NoteEpoch(r.Epoch, r.Base)
		l.Extend(r.Epoch, r.Batch.NextOffset())
		return nil
	})
	if err != nil {
		b.c.t.Fatal(err)
	}
	for p, l := range logs {
		l.Durable = l.Appended
		s, _ := b.table.Get(p)
		b.set.Open(s, *l, false)
	}
}

// publish has every live broker apply the metadata.
func (c *cluster) publish() {
	c.mu.Lock()
	records, live := maps.Clone(c.records), registry(maps.Clone(c.live))
	all := slices.Collect(maps.Values(c.brokers))
	c.mu.Unlock()
	for _, b := range all {
		if b.dead.Load() {
			continue
		}
		for p, r := range records {
			s, _ := b.table.Get(p)
			s.SetEpoch(r.Epoch)
			s.SetLeads(r.Leader == b.id)
			b.set.Apply(s, r, live)
		}
	}
}

// AlterISR implements replica.Metadata.
func (b *broker) AlterISR(_ context.Context, p topic.Partition, change replication.ISRChange) error {
	b.c.mu.Lock()
	next, err := b.c.records[p].AlterISR(change, registry(b.c.live))
	if err == nil {
		b.c.records[p] = next
	}
	b.c.mu.Unlock()
	if err == nil {
		b.c.publish()
	}
	return err
}

// kill ends a process as kill -9 does: what was written to disk stays.
func (c *cluster) kill(id int32) {
	b := c.brokers[id]
	b.dead.Store(true)
	c.mu.Lock()
	c.cut[id] = true
	delete(c.live, id)
	c.mu.Unlock()
	for _, other := range c.brokers {
		if other != b && !other.dead.Load() {
			other.set.Disconnected(id)
		}
	}
	b.stop()
	if err := <-b.over; err != nil {
		c.t.Error(err)
	}
	close(b.ended)
	b.closed.Wait()
	b.set.Stop(replication.ErrNotLeader)
	if err := b.log.Close(); err != nil {
		c.t.Error(err)
	}
	b.fs.Close()
	c.mu.Lock()
	for p, r := range c.records {
		c.records[p] = r.Fence(id, false, registry(c.live))
	}
	c.mu.Unlock()
	c.publish()
}

// connect reports the new streams of a broker, in both directions.
func (c *cluster) connect(id int32) {
	c.mu.Lock()
	all := maps.Clone(c.brokers)
	c.mu.Unlock()
	for other, b := range all {
		if other != id && !b.dead.Load() {
			all[id].set.Connected(other)
			b.set.Connected(id)
		}
	}
}

// reach returns a live broker that b can reach.
func (b *broker) reach(to int32) *broker {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if other := b.c.brokers[to]; other != nil && !other.dead.Load() && !b.dead.Load() && !b.c.cut[to] && !b.c.cut[b.id] {
		return other
	}
	return nil
}

// Send implements replica.Peers.
func (b *broker) Send(to int32, p topic.Partition, m replication.Message) {
	if other := b.reach(to); other != nil {
		select {
		case other.mail <- func() { other.set.Heard(b.id, p, m); b.Wake(to) }:
		case <-other.ended:
		}
	}
}

// Wake implements replica.Peers.
func (b *broker) Wake(to int32) {
	select {
	case b.wake[to] <- struct{}{}:
	default:
	}
}

// deliver handles what arrives, in order.
func (b *broker) deliver() {
	for {
		select {
		case do := <-b.mail:
			do()
		case <-b.ended:
			return
		}
	}
}

// push sends records to a follower while there are some.
func (b *broker) push(to int32) {
	for {
		select {
		case <-b.wake[to]:
		case <-b.ended:
			return
		}
		for {
			p, h, data, release, ok := b.set.Next(to, 64<<10)
			if !ok {
				break
			}
			bytes := slices.Concat(data...)
			release()
			if other := b.reach(to); other != nil {
				select {
				case other.mail <- func() { other.set.Records(b.id, p, h, bytes, func() {}) }:
				case <-other.ended:
				}
			}
		}
	}
}

// record returns the metadata of p.
func (c *cluster) record(p topic.Partition) replication.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.records[p]
}

// leader returns the broker that leads p.
func (c *cluster) leader(p topic.Partition) *broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.brokers[c.records[p].Leader]; b != nil && !b.dead.Load() {
		return b
	}
	return nil
}

// producer sends one record after the other to a partition, each again until it is acknowledged, as
// an idempotent client does.
type producer struct {
	c     *cluster
	p     topic.Partition
	id    int64
	acked atomic.Int64
}

func (x *producer) run(ctx context.Context) {
	for seq := int32(0); ctx.Err() == nil; {
		leader := x.c.leader(x.p)
		if leader == nil || !x.send(ctx, leader, seq) {
			time.Sleep(2 * time.Millisecond) // what a client does after a refusal
			continue
		}
		seq++
		x.acked.Store(int64(seq))
	}
}

// send reports whether the record with a sequence number was acknowledged.
func (x *producer) send(ctx context.Context, leader *broker, seq int32) bool {
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = x.id, 0, seq
	built, err := b.Add(time.Now().UnixMilli(), nil, fmt.Appendf(nil, "%d-%d", x.id, seq)).Build()
	if err != nil {
		x.c.t.Error(err)
		return false
	}
	s, _ := leader.table.Get(x.p)
	appends := []flow.Append{{Partition: x.p, State: s, Batch: built, Acks: flow.AcksAll, LogAppendTime: -1}}
	done := make(chan error, 1)
	leader.admit.Append(ctx, pipeline.Holder{}, appends, func(err error) { done <- err })
	select {
	case err = <-done:
	case <-time.After(20 * time.Second):
		x.c.t.Errorf("%s: sequence number %d is not settled", x.p, seq)
		return false
	}
	return err == nil && appends[0].Err == nil
}

// contents returns the log of a broker's replica, as it is on disk. What is in objects is blank.
func (b *broker) contents(p topic.Partition) (values []string) {
	s, _ := b.table.Get(p)
	values = make([]string, b.c.record(p).TierEnd)
	for e := range s.Tail.Entries(int64(len(values)), 1<<62) {
		bytes := make([]byte, e.Size)
		if err := b.log.ReadAt(b.c.t.Context(), e, bytes); err != nil {
			b.c.t.Fatal(err)
		}
		for rest := bytes; len(rest) > 0; {
			batch, more, err := record.Next(rest)
			if err == nil && batch.BaseOffset() < int64(len(values)) && values[batch.BaseOffset()] == "" {
				rest = more
				continue
			}
			if err != nil || batch.Verify() != nil || batch.BaseOffset() != int64(len(values)) {
				b.c.t.Fatalf("broker %d, %s: batch at %d, want %d: %v", b.id, p, batch.BaseOffset(), len(values), err)
			}
			for range batch.Count() {
				values = slices.Insert(values, len(values), fmt.Sprintf("%d/%d/%d", batch.PartitionLeaderEpoch(), batch.ProducerID(), batch.BaseSequence()))
			}
			rest = more
		}
	}
	return values
}

// TestReplicasOverKills: while brokers are killed one after the other and come back, no
// acknowledged record is lost, doubled or reordered, and in the end all logs are the same.
func TestReplicasOverKills(t *testing.T) {
	c := newCluster(t, 3, 3)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var producers []*producer
	for i, p := range c.parts {
		x := &producer{c: c, p: p, id: int64(i + 1)}
		producers = append(producers, x)
		running.Go(func() { x.run(ctx) })
	}
	progress := func(what string) { t.Helper(); c.progress(producers, what) }
	progress("three brokers")
	for _, id := range []int32{1, 2, 3} {
		dir := c.brokers[id].dir
		c.isolate(id)
		c.kill(id)
		progress(fmt.Sprintf("without broker %d", id))
		c.start(id, dir)
		progress(fmt.Sprintf("with broker %d back", id))
		c.settle()
	}
	stop()
	running.Wait()
	c.check(producers)
	for id := range int32(3) {
		c.kill(id + 1)
	}
}

// progress waits until each producer has had some records acknowledged.
func (c *cluster) progress(producers []*producer, what string) {
	c.t.Helper()
	for _, x := range producers {
		want, until := x.acked.Load()+20, time.Now().Add(30*time.Second)
		for x.acked.Load() < want {
			if time.Now().After(until) {
				c.t.Fatalf("%s: %s makes no progress: %+v", what, x.p, c.record(x.p))
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// isolate cuts the links of a broker, and waits until each partition that it leads has a record
// that no other broker has.
func (c *cluster) isolate(id int32) {
	c.mu.Lock()
	c.cut[id] = true
	var led []topic.Partition
	for p, r := range c.records {
		if r.Leader == id {
			led = append(led, p)
		}
	}
	c.mu.Unlock()
	for _, p := range led {
		s, _ := c.brokers[id].table.Get(p)
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, ok := s.Tail.At(s.HighWatermark()); ok {
				break
			}
			if time.Now().After(until) {
				c.t.Fatalf("%s gets no records that are not replicated", p)
			}
		}
	}
}

// upload has the metadata say that what is committed is in objects.
func (c *cluster) upload() {
	c.mu.Lock()
	for p, r := range c.records {
		s, _ := c.brokers[r.Leader].table.Get(p)
		if hw := s.HighWatermark(); hw > r.TierEnd {
			e, _ := s.Tail.At(hw - 1)
			next, err := r.CommitTier(r.Epoch, r.TierEnd, hw)
			if err != nil {
				c.t.Error(err)
			}
			c.records[p], c.tierEpoch[p] = next, e.Epoch
		}
	}
	c.mu.Unlock()
	c.publish()
}

// TestFollowersContinueAboveObjects: a follower that comes back behind what is in objects does not
// get that from the leader, and starts its log above it, also after another start.
func TestFollowersContinueAboveObjects(t *testing.T) {
	c := newCluster(t, 3, 1)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var producers []*producer
	for i, p := range c.parts {
		x := &producer{c: c, p: p, id: int64(i + 1)}
		producers = append(producers, x)
		running.Go(func() { x.run(ctx) })
	}
	c.progress(producers, "three brokers")
	for _, restarts := range []bool{false, true, true} {
		b := c.brokers[2]
		if restarts {
			c.kill(2)
		} else {
			c.mu.Lock()
			c.cut[2] = true
			c.mu.Unlock()
			c.brokers[1].set.Disconnected(2)
		}
		c.progress(producers, "without broker 2")
		c.upload()
		c.progress(producers, "after the upload")
		if restarts {
			b = c.start(2, b.dir)
		} else {
			c.mu.Lock()
			delete(c.cut, 2)
			c.mu.Unlock()
			c.connect(2)
		}
		c.settle()
		for _, p := range c.parts {
			s, _ := b.table.Get(p)
			if first, ok := s.Tail.Start(); !ok || first < c.record(p).TierEnd {
				t.Errorf("%s: the log of the follower starts at %d, objects end at %d", p, first, c.record(p).TierEnd)
			}
		}
		c.progress(producers, "with broker 2 back")
	}
	stop()
	running.Wait()
	c.check(producers)
	for id := range int32(3) {
		c.kill(id + 1)
	}
}

// settle waits until all replicas are in sync.
func (c *cluster) settle() {
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		full := true
		for _, r := range c.records {
			full = full && len(r.ISR) == 3
		}
		records := maps.Clone(c.records)
		c.mu.Unlock()
		if full {
			return
		}
		if time.Now().After(until) {
			c.t.Fatalf("replicas do not get in sync: %+v", records)
		}
	}
}

// check compares the logs, and what they have with what was acknowledged.
func (c *cluster) check(producers []*producer) {
	c.t.Helper()
	for _, x := range producers {
		var logs [][]string
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			logs = nil
			for id := range int32(3) {
				logs = append(logs, c.brokers[id+1].contents(x.p))
			}
			if slices.Equal(logs[0], logs[1]) && slices.Equal(logs[0], logs[2]) || time.Now().After(until) {
				break
			}
		}
		if !slices.Equal(logs[0], logs[1]) || !slices.Equal(logs[0], logs[2]) {
			c.t.Errorf("%s: the logs differ: %d, %d and %d records", x.p, len(logs[0]), len(logs[1]), len(logs[2]))
		}
		for i, v := range logs[0] {
			var epoch, id, seq int
			fmt.Sscanf(v, "%d/%d/%d", &epoch, &id, &seq)
			if v != "" && (seq != i || int64(id) != x.id) {
				c.t.Fatalf("%s: offset %d has sequence number %d of producer %d", x.p, i, seq, id)
			}
		}
		if n := int64(len(logs[0])); n < x.acked.Load() {
			c.t.Errorf("%s: %d records, %d were acknowledged", x.p, n, x.acked.Load())
		}
	}
}
