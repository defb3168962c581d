package replication

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicemq/sluice/internal/meta"
)

// entry is one record: its epoch and a unique value.
type entry struct {
	epoch int32
	value uint64
}

// world is a cluster with one partition: brokers with disks, links, the metadata and the object store.
// A single seeded generator chooses everything that happens.
type world struct {
	rng    *rand.Rand
	off    rules
	minISR int

	versions []version // of the metadata, ascending
	nodes    []*node
	links    map[[2]int32]*link // by broker pair, lower id first
	changes  []*change          // ISR changes in flight to the metadata
	uploads  []upload           // in flight to the metadata

	tier      []entry // records in objects
	committed []entry // every record ever below a leader's high watermark
	leaders   map[int32]int32
	written   map[[2]int64]uint64 // epoch and offset -> value
	values    uint64
	now       time.Duration
	healed    bool
	tracing   bool
	trace     []string
	seen      coverage
}

// coverage counts what happened in a run, to reveal schedules that never get anywhere.
type coverage struct {
	commits, acks, elections, truncations, restarts, lossy, uploads, shrinks, expands, refused, reclaimed int
}

// version is one version of the metadata.
type version struct {
	rec  Record
	incs map[int32]uint64 // of live brokers
}

func (v version) Live(b int32) (uint64, bool) { i, ok := v.incs[b]; return i, ok }

// change is a proposed ISR, in flight.
type change struct {
	from int32
	inc  uint64
	c    ISRChange
}

type upload struct {
	from      int32
	epoch     int32
	base, end int64
	entries   []entry
}

// link is a connection between two brokers: ordered, and reliable until it breaks.
type link struct {
	up      bool
	cut     bool // cut by the network: cannot reconnect
	queues  map[int32][]packet
	noticed map[int32]bool // sides that know it broke
}

type packet struct {
	position   *Position
	divergence *Divergence
	restart    *Restart
	records    *Records
	entries    []entry
}

// node is one broker.
type node struct {
	w       *world
	id      int32
	up      bool
	inc     uint64
	lossy   bool // lost records, and has not rejoined the ISR yet
	r       *Replica
	lane    Lane
	view    int // index of the applied version, or -1
	start   int64
	mem     []entry // by offset from 0; not part of the log below start
	disk    []entry
	dstart  int64
	pending []op // writes in progress, in order
	upEpoch int32
	upEnd   int64
	tokens  map[uint64]int64 // end offsets of acks=all appends, by token
}

// op is one write to a disk.
type op struct {
	entries []entry // to append; or, if nil:
	to      int64   // offset to truncate to
	restart bool    // restart the log at to instead
}

func newWorld(seed uint64, off rules) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), off: off, links: map[[2]int32]*link{},
		leaders: map[int32]int32{}, written: map[[2]int64]uint64{}}
	n := 3
	w.minISR = 2
	switch w.rng.IntN(4) {
	case 0:
		n = 5
		w.minISR = 2 + w.rng.IntN(2)
	case 1:
		n = 4
	}
	rec := Record{Epoch: 1, Version: 1, MinISR: w.minISR, off: off}
	incs := map[int32]uint64{}
	for id := range int32(n) {
		rec.Replicas = append(rec.Replicas, id)
		rec.ISR = append(rec.ISR, id)
		incs[id] = 1
	}
	w.versions = []version{{rec, incs}}
	for id := range int32(n) {
		x := &node{w: w, id: id, up: true, inc: 1}
		w.nodes = append(w.nodes, x)
		for other := range id {
			w.links[[2]int32{other, id}] = &link{up: true, queues: map[int32][]packet{}, noticed: map[int32]bool{}}
		}
		x.boot()
	}
	return w
}

func (w *world) latest() version { return w.versions[len(w.versions)-1] }

func (w *world) link(a, b int32) *link { return w.links[[2]int32{min(a, b), max(a, b)}] }

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// publish adds a new version of the metadata.
func (w *world) publish(rec Record, incs map[int32]uint64) {
	before := w.latest().rec
	if rec.Leader != before.Leader && rec.Leader != NoLeader {
		w.seen.elections++
	}
	if len(rec.ISR) < len(before.ISR) {
		w.seen.shrinks++
	}
	if len(rec.ISR) > len(before.ISR) {
		w.seen.expands++
	}
	w.versions = append(w.versions, version{rec, incs})
	for _, b := range rec.ISR {
		w.nodes[b].lossy = false
	}
}

// with returns the live brokers with b set to incarnation inc; 0 removes it.
func (v version) with(b int32, inc uint64) map[int32]uint64 {
	m := make(map[int32]uint64, len(v.incs))
	for k, i := range v.incs {
		m[k] = i
	}
	if m[b] = inc; inc == 0 {
		delete(m, b)
	}
	return m
}

// boot starts the broker's process from the contents of its disk.
func (x *node) boot() {
	x.mem, x.start, x.pending = slices.Clone(x.disk), x.dstart, nil
	x.lane, x.view, x.upEpoch, x.tokens = Lane{}, -1, -1, map[uint64]int64{}
	l := Log{Start: x.start, Durable: int64(len(x.mem)), PrevEpoch: NoEpoch}
	if x.start > 0 {
		l.PrevEpoch = x.mem[x.start-1].epoch // known from the metadata
	}
	l.Appended = l.Start
	for o := x.start; o < int64(len(x.mem)); o++ {
		l.Extend(x.mem[o].epoch, o+1)
	}
	x.r = New(x.id, x.inc, l, Config{LagTime: 300 * time.Millisecond, GoneTime: 100 * time.Millisecond, HelloTime: 200 * time.Millisecond})
	x.r.off = x.w.off
	x.r.Tick(x.w.now)
}

// epochs returns the start of each epoch in entries.
func epochs(base int64, entries []entry) (out []meta.EpochStart) {
	for i, e := range entries {
		if n := len(out); n == 0 || out[n-1].Epoch != e.epoch {
			out = append(out, meta.EpochStart{Epoch: e.epoch, Start: base + int64(i)})
		}
	}
	return out
}

// act performs the replica's effects until there are none.
func (x *node) act() {
	for {
		e := x.r.Effects()
		if e.Lane != nil {
			x.lane = *e.Lane
		}
		if e.Truncate != nil {
			x.w.seen.truncations++
			x.mem = x.mem[:*e.Truncate]
			x.pending = append(x.pending, op{to: *e.Truncate})
		}
		if e.Restart != nil {
			x.w.seen.restarts++
			x.mem = x.w.tierPrefix(*e.Restart)
			x.start = *e.Restart
			x.pending = append(x.pending, op{to: *e.Restart, restart: true})
		}
		for _, s := range e.Settled {
			x.settled(s)
		}
		for _, m := range e.Messages {
			x.w.send(x.id, m.To, packet{position: m.Position, divergence: m.Divergence, restart: m.Restart})
		}
		if e.Propose != nil {
			x.w.changes = append(x.w.changes, &change{x.id, x.inc, *e.Propose})
		}
		if e.Lane == nil && e.Truncate == nil && e.Restart == nil && e.Visible == nil && e.Settled == nil && e.Messages == nil && e.Propose == nil {
			return
		}
	}
}

// tierPrefix returns the records below end that are in objects. A real replica keeps only their epochs.
func (w *world) tierPrefix(end int64) []entry {
	out := make([]entry, end)
	copy(out, w.tier)
	return out
}

func (w *world) send(from, to int32, p packet) {
	l := w.link(from, to)
	if l.up {
		l.queues[to] = append(l.queues[to], p)
	}
}

func (x *node) settled(s Settlement) {
	end, ok := x.tokens[s.Token]
	if !ok {
		return
	}
	delete(x.tokens, s.Token)
	if s.Err != nil {
		x.w.seen.refused++
		return
	}
	x.w.seen.acks++
	x.w.acknowledged(x, end)
}
