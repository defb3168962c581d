package peer_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/replica/peer"
)

const cluster = "a cluster"

func part(i int) topic.Partition { return topic.Partition{Topic: topic.ID{7}, Index: int32(i)} }

// registry has the incarnations of live brokers.
type registry map[int32]uint64

func (r registry) Live(b int32) (uint64, bool) { i, ok := r[b]; return i, ok }

// node is a broker: Peers, and for each partition a replica with its log in memory. It
// drives the replicas as a broker does: effects are carried out in order under the partition's lock.
type node struct {
	t     *testing.T
	id    int32
	inc   uint64
	peers *peer.Peers
	addr  string
	start time.Time
	parts []*partition

	mu    sync.Mutex
	acked map[uint64]int // token: partition
	turn  map[int32]int  // of Next, by follower
}

// partition is one replica. A record is one batch: its value of 8 bytes, and filling.
type partition struct {
	mu      sync.Mutex
	p       topic.Partition
	r       *replication.Replica
	log     [][]byte
	epochs  []int32
	pending map[uint64][]byte // appends not settled yet
}

type cfgFunc func(*peer.Options)

func options(t *testing.T, id int32, inc uint64, local peer.Local, change ...cfgFunc) peer.Options {
	t.Helper()
	o := peer.Options{Config: setting.Default[peer.Config](), Cluster: cluster, Broker: id, Incarnation: inc, Local: local,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}
	for _, f := range change {
		f(&o)
	}
	return o
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// open starts Peers that end with the test.
func open(t testing.TB, o peer.Options) (*peer.Peers, string) {
	t.Helper()
	p, err := peer.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	t.Cleanup(func() {
		p.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return p, l.Addr().String()
}

// newNode returns a broker that replicates n partitions from broker 1.
func newNode(t *testing.T, id int32, n int, change ...cfgFunc) *node {
	t.Helper()
	x := &node{t: t, id: id, inc: 1, start: time.Now(), acked: map[uint64]int{}, turn: map[int32]int{}}
	for i := range n {
		cfg := replication.Config{LagTime: time.Hour, GoneTime: time.Hour, HelloTime: 200 * time.Millisecond}
		x.parts = append(x.parts, &partition{p: part(i), r: replication.New(id, 1, replication.Log{PrevEpoch: replication.NoEpoch}, cfg), pending: map[uint64][]byte{}})
	}
	x.peers, x.addr = open(t, options(t, id, 1, x, change...))
	return x
}

// join applies the metadata: broker 1 leads in epoch 1, and 2 and 3 are in sync.
func (x *node) join() {
	rec := replication.Record{Epoch: 1, Version: 1, MinISR: 3, Leader: 1, Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}}
	for _, q := range x.parts {
		x.on(q, func(r *replication.Replica) { r.Apply(rec, registry{1: 1, 2: 1, 3: 1}) })
	}
}

// on applies an event to a replica and carries out the effects.
func (x *node) on(q *partition, event func(*replication.Replica)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	event(q.r)
	x.act(q)
}

func (x *node) act(q *partition) {
	for {
		e := q.r.Effects()
		if e.Truncate != nil {
			q.log, q.epochs = q.log[:*e.Truncate], q.epochs[:*e.Truncate]
			q.r.Truncated()
		}
		x.mu.Lock()
		for _, s := range e.Settled {
			if s.Err == nil {
				x.acked[s.Token] = int(q.p.Index)
			}
			delete(q.pending, s.Token)
		}
		x.mu.Unlock()
		for _, m := range e.Messages {
			x.peers.Send(m.To, q.p, m)
		}
		if e.Truncate == nil && e.Messages == nil && e.Settled == nil {
			return
		}
	}
}

func (x *node) tick() {
	for _, q := range x.parts {
		x.on(q, func(r *replication.Replica) { r.Tick(time.Since(x.start)) })
	}
}

// produce appends a record of size bytes with acks=all.
func (x *node) produce(i int, token uint64, size int) error {
	q := x.parts[i]
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.r.Admit(replication.AcksAll); err != nil {
		return err
	}
	b := make([]byte, max(size, 8))
	binary.LittleEndian.PutUint64(b, token)
	q.log, q.epochs = append(q.log, b), append(q.epochs, 1)
	end := int64(len(q.log))
	q.pending[token] = b
	q.r.Append(end, replication.AcksAll, token)
	x.peers.Wake(2)
	x.peers.Wake(3)
	q.r.Durable(end)
	x.act(q)
	return nil
}

func (x *node) Connected(b int32) {
	for _, q := range x.parts {
		x.on(q, func(r *replication.Replica) { r.Connected(b) })
	}
}

func (x *node) Disconnected(b int32) {
	for _, q := range x.parts {
		x.on(q, func(r *replication.Replica) { r.Disconnected(b) })
	}
}

func (x *node) Heard(from int32, p topic.Partition, m replication.Message) {
	q := x.parts[p.Index]
	x.on(q, func(r *replication.Replica) {
		switch {
		case m.Position != nil:
			r.HearPosition(*m.Position)
		case m.Divergence != nil:
			r.HearDivergence(*m.Divergence)
		case m.Restart != nil:
			r.HearRestart(*m.Restart)
		}
	})
	x.peers.Wake(from)
}

func (x *node) Records(from int32, p topic.Partition, h replication.Records, batches []byte, release func()) {
	defer release()
	q := x.parts[p.Index]
	x.on(q, func(r *replication.Replica) {
		var epochs []meta.EpochStart
		if h.End > h.Base {
			epochs = []meta.EpochStart{{Epoch: 1, Start: h.Base}}
		}
		if !r.HearRecords(h, epochs) {
			return
		}
		size := len(batches) / int(h.End-h.Base)
		for o := range h.End - h.Base {
			q.log = append(q.log, append([]byte(nil), batches[int(o)*size:int(o+1)*size]...))
			q.epochs = append(q.epochs, 1)
		}
		r.Durable(h.End)
	})
}

func (x *node) Next(to int32, limit int) (topic.Partition, replication.Records, [][]byte, func(), bool) {
	for range x.parts {
		x.mu.Lock()
		q := x.parts[x.turn[to]%len(x.parts)]
		x.turn[to]++
		x.mu.Unlock()
		q.mu.Lock()
		size := 8
		if len(q.log) > 0 {
			size = len(q.log[0])
		}
		h, ok := q.r.Send(to, int64(max(limit/size, 1)))
		x.act(q)
		var data [][]byte
		if ok {
			data = append(data, q.log[h.Base:h.End]...)
		}
		q.mu.Unlock()
		if ok {
			return q.p, h, data, func() {}, true
		}
	}
	return topic.Partition{}, replication.Records{}, nil, nil, false
}

// same returns an error unless two brokers have the same logs.
func same(a, b *node) error {
	for i, q := range a.parts {
		o := b.parts[i]
		q.mu.Lock()
		o.mu.Lock()
		n, m := len(q.log), len(o.log)
		err := error(nil)
		if n != m {
			err = fmt.Errorf("partition %d: %d records on broker %d, %d on broker %d", i, n, a.id, m, b.id)
		}
		for j := 0; err == nil && j < n; j++ {
			if string(q.log[j]) != string(o.log[j]) {
				err = fmt.Errorf("partition %d: record %d differs on brokers %d and %d", i, j, a.id, b.id)
			}
		}
		o.mu.Unlock()
		q.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// until waits for something, for a long time.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
