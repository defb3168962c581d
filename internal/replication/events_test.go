package replication

import (
	"errors"
	"slices"
	"time"
)

// event is something that may happen next, with a frequency proportional to its weight.
type event struct {
	weight int
	name   string
	do     func(*world) bool // returns false if it cannot happen now
}

var events = []event{
	{180, "produce", (*world).produce},
	{360, "disk", (*world).completeWrite},
	{540, "deliver", (*world).deliver},
	{360, "send", (*world).sendRecords},
	{240, "learn", (*world).learn},
	{120, "tick", (*world).tick},
	{120, "change", (*world).applyChange},
	{60, "notice", (*world).notice},
	{60, "connect", (*world).connect},
	{48, "unfence", (*world).unfence},
	{36, "upload", (*world).upload},
	{72, "tier", (*world).commitTier},
	{48, "reclaim", (*world).reclaim},
	{24, "boot", (*world).restart},
	// Faults, which stop once the world is healed.
	{2, "crash", (*world).crash},
	{2, "fence", (*world).fence},
	{3, "break", (*world).breakLink},
	{1, "cut", (*world).cutLink},
	{2, "mend", (*world).mendLink},
	{1, "transfer", (*world).transfer},
}

const faults = 6 // the last six events

// step makes one random event happen.
func (w *world) step() {
	all := events
	if w.healed {
		all = events[:len(events)-faults]
	}
	total := 0
	for _, e := range all {
		total += e.weight
	}
	for {
		n := w.rng.IntN(total)
		for _, e := range all {
			if n -= e.weight; n >= 0 {
				continue
			}
			if e.do(w) {
				return
			}
			break
		}
	}
}

func (w *world) anyNode() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

const mostRecords = 80

func (w *world) produce() bool {
	x := w.anyNode()
	if !x.up || !x.lane.Open || int64(len(x.mem)) >= mostRecords || w.healed {
		return false
	}
	acks := AcksAll
	if w.rng.IntN(4) == 0 {
		acks = AcksLeader
	}
	if err := x.r.Admit(acks); err != nil {
		w.seen.refused++
		return true
	}
	var added []entry
	for range 1 + w.rng.IntN(3) {
		w.values++
		e := entry{x.lane.Epoch, w.values}
		w.appended(x, int64(len(x.mem)), e)
		x.mem, added = append(x.mem, e), append(added, e)
	}
	end := int64(len(x.mem))
	x.pending = append(x.pending, op{entries: added})
	if acks == AcksAll {
		x.tokens[w.values] = end
	}
	x.r.Append(end, acks, w.values)
	w.note("%d appends up to %d in epoch %d", x.id, end, x.lane.Epoch)
	x.act()
	return true
}

func (w *world) completeWrite() bool {
	x := w.anyNode()
	if !x.up || len(x.pending) == 0 {
		return false
	}
	o := x.pending[0]
	x.pending = x.pending[1:]
	x.persist(o)
	if o.entries != nil {
		x.r.Durable(int64(len(x.disk)))
	} else {
		x.r.Truncated()
	}
	w.note("%d has written %d records, truncated %v", x.id, len(x.disk), o.entries == nil)
	x.act()
	return true
}

// persist applies a pending write to the disk.
func (x *node) persist(o op) {
	switch {
	case o.entries != nil:
		x.disk = append(x.disk, o.entries...)
	case o.restart:
		x.disk, x.dstart = x.w.tierPrefix(o.to), o.to
	default:
		x.disk = x.disk[:o.to]
	}
}

func (w *world) deliver() bool {
	a, b := w.anyNode(), w.anyNode()
	if a == b || !b.up {
		return false
	}
	l := w.link(a.id, b.id)
	q := l.queues[b.id]
	if len(q) == 0 {
		return false
	}
	p := q[0]
	l.queues[b.id] = q[1:]
	switch {
	case p.position != nil:
		w.note("%d hears of %d: %+v", b.id, a.id, *p.position)
		b.r.HearPosition(*p.position)
	case p.divergence != nil:
		w.note("%d hears of %d: %+v", b.id, a.id, *p.divergence)
		b.r.HearDivergence(*p.divergence)
	case p.restart != nil:
		w.note("%d hears of %d: %+v", b.id, a.id, *p.restart)
		b.r.HearRestart(*p.restart)
	default:
		took := b.r.HearRecords(*p.records, epochs(p.records.Base, p.entries))
		w.note("%d hears of %d: %+v, taken %v", b.id, a.id, *p.records, took)
		if took {
			b.mem = append(b.mem, p.entries...)
			b.pending = append(b.pending, op{entries: p.entries})
		}
	}
	b.act()
	return true
}

func (w *world) sendRecords() bool {
	x, to := w.anyNode(), w.anyNode()
	if !x.up || x == to || !w.link(x.id, to.id).up {
		return false
	}
	h, ok := x.r.Send(to.id, 1+w.rng.Int64N(4))
	x.act()
	if !ok {
		return false
	}
	w.send(x.id, to.id, packet{records: &h, entries: slices.Clone(x.mem[h.Base:h.End])})
	return true
}

// learn makes a broker apply a later version of the metadata, possibly skipping some.
func (w *world) learn() bool {
	x := w.anyNode()
	if !x.up || x.view == len(w.versions)-1 {
		return false
	}
	from := max(x.view+1, 0)
	x.view = from + w.rng.IntN(len(w.versions)-from)
	v := w.versions[x.view]
	w.note("%d learns version %d: %+v, live %v", x.id, x.view, v.rec, v.incs)
	x.r.Apply(v.rec, v)
	x.act()
	return true
}

func (w *world) tick() bool {
	w.now += time.Duration(w.rng.IntN(10)) * time.Millisecond
	x := w.anyNode()
	if !x.up {
		return false
	}
	x.r.Tick(w.now)
	x.act()
	return true
}

// applyChange delivers a proposed ISR change to the metadata. Proposals may arrive late, and repeatedly.
func (w *world) applyChange() bool {
	if len(w.changes) == 0 {
		return false
	}
	i := w.rng.IntN(len(w.changes))
	c := w.changes[i]
	if w.rng.IntN(5) > 0 || w.healed {
		w.changes = slices.Delete(w.changes, i, i+1)
	}
	v := w.latest()
	rec, err := v.rec.AlterISR(c.c, v)
	w.note("the ISR %+v of %d: %v", c.c, c.from, err)
	if err == nil {
		w.publish(rec, v.incs)
		return true
	}
	x := w.nodes[c.from]
	last := !slices.ContainsFunc(w.changes, func(o *change) bool { return o.from == c.from && o.c.Version == c.c.Version })
	if last && x.up && x.inc == c.inc && errors.Is(err, ErrIneligible) {
		x.r.ISRRefused(c.c.Version)
		x.act()
	}
	return true
}

// fence ends the session of a broker, which may still be running.
func (w *world) fence() bool {
	x := w.anyNode()
	v := w.latest()
	if _, ok := v.incs[x.id]; !ok {
		return false
	}
	live := version{v.rec, v.with(x.id, 0)}
	w.note("%d is fenced", x.id)
	w.publish(v.rec.Fence(x.id, false, live), live.incs)
	return true
}

func (w *world) unfence() bool {
	x := w.anyNode()
	v := w.latest()
	if _, ok := v.incs[x.id]; ok || !x.up {
		return false
	}
	live := version{v.rec, v.with(x.id, x.inc)}
	w.note("%d is back in incarnation %d", x.id, x.inc)
	w.publish(v.rec.Unfence(live), live.incs)
	return true
}

func (w *world) transfer() bool {
	v := w.latest()
	rec, err := v.rec.Transfer(w.anyNode().id, v)
	if err != nil || rec.Epoch == v.rec.Epoch {
		return false
	}
	w.publish(rec, v.incs)
	return true
}

// crash kills a process. A random prefix of its pending writes has reached the disk.
func (w *world) crash() bool {
	x := w.anyNode()
	if !x.up {
		return false
	}
	w.note("%d crashes", x.id)
	x.up = false
	for _, o := range x.pending[:w.rng.IntN(len(x.pending)+1)] {
		x.persist(o)
	}
	x.pending = nil
	for _, o := range w.nodes {
		if o != x {
			w.down(w.link(x.id, o.id))
		}
	}
	return true
}

// restart restarts a crashed process. Its disk may have lost the end of the log, unless another replica
// is still missing records that way.
func (w *world) restart() bool {
	x := w.anyNode()
	if x.up {
		return false
	}
	unclean := false
	if n := len(x.disk) - int(x.dstart); n > 0 && w.rng.IntN(3) == 0 && !w.healed &&
		!slices.ContainsFunc(w.nodes, func(o *node) bool { return o.lossy }) {
		unclean, x.lossy = true, true
		w.seen.lossy++
		x.disk = x.disk[:len(x.disk)-1-w.rng.IntN(n)]
	}
	x.up = true
	x.inc++
	v := w.latest()
	gone := version{v.rec, v.with(x.id, 0)}
	rec := v.rec.Fence(x.id, unclean, gone)
	live := version{rec, gone.with(x.id, x.inc)}
	w.note("%d starts in incarnation %d with %d records, unclean %v", x.id, x.inc, len(x.disk), unclean)
	w.publish(rec.Unfence(live), live.incs)
	x.boot()
	x.act()
	return true
}

func (w *world) down(l *link) {
	if l.up {
		l.up = false
		clear(l.queues)
		clear(l.noticed)
	}
}

func (w *world) anyLink() (a, b *node, l *link) {
	a, b = w.anyNode(), w.anyNode()
	if a == b {
		return a, b, nil
	}
	return a, b, w.link(a.id, b.id)
}

func (w *world) breakLink() bool {
	_, _, l := w.anyLink()
	if l == nil || !l.up {
		return false
	}
	w.down(l)
	return true
}

func (w *world) cutLink() bool {
	_, _, l := w.anyLink()
	if l == nil || l.cut {
		return false
	}
	l.cut = true
	w.down(l)
	return true
}

func (w *world) mendLink() bool {
	_, _, l := w.anyLink()
	if l == nil || !l.cut {
		return false
	}
	l.cut = false
	return true
}

// notice makes one side of a broken link notice that it is broken.
func (w *world) notice() bool {
	a, b, l := w.anyLink()
	if l == nil || l.up || l.noticed[a.id] || !a.up {
		return false
	}
	l.noticed[a.id] = true
	a.r.Disconnected(b.id)
	a.act()
	return true
}

func (w *world) connect() bool {
	a, b, l := w.anyLink()
	if l == nil || l.up || l.cut || !a.up || !b.up {
		return false
	}
	for _, s := range [][2]*node{{a, b}, {b, a}} {
		if !l.noticed[s[0].id] {
			s[0].r.Disconnected(s[1].id)
		}
	}
	l.up = true
	a.r.Connected(b.id)
	b.r.Connected(a.id)
	a.act()
	b.act()
	return true
}

// upload writes an object. Its commit to the metadata is pending; there may be several such commits.
func (w *world) upload() bool {
	x := w.anyNode()
	if !x.up {
		return false
	}
	base, end, ok := x.r.Uploadable()
	epoch, _ := x.r.Leads()
	if !ok {
		return false
	}
	if x.upEpoch == epoch && x.upEnd > base {
		base = x.upEnd
	}
	if base >= end || base < x.start {
		return false
	}
	end = base + 1 + w.rng.Int64N(end-base)
	x.upEpoch, x.upEnd = epoch, end
	w.uploads = append(w.uploads, upload{x.id, epoch, base, end, slices.Clone(x.mem[base:end])})
	w.note("%d uploads [%d, %d) in epoch %d", x.id, base, end, epoch)
	return true
}

func (w *world) commitTier() bool {
	if len(w.uploads) == 0 {
		return false
	}
	i := w.rng.IntN(len(w.uploads))
	u := w.uploads[i]
	w.uploads = slices.Delete(w.uploads, i, i+1)
	v := w.latest()
	rec, err := v.rec.CommitTier(u.epoch, u.base, u.end)
	w.note("upload [%d, %d) of %d in epoch %d: %v", u.base, u.end, u.from, u.epoch, err)
	if x := w.nodes[u.from]; err != nil {
		if x.upEpoch == u.epoch {
			x.upEnd = 0
		}
		return true
	}
	w.seen.uploads++
	w.tiered(u)
	w.publish(rec, v.incs)
	return true
}

func (w *world) reclaim() bool {
	x := w.anyNode()
	if !x.up {
		return false
	}
	to := x.r.Reclaimable()
	if to <= x.start || len(x.pending) > 0 {
		return false
	}
	w.seen.reclaimed++
	x.start, x.dstart = to, to
	x.r.Reclaimed(to)
	w.note("%d gives up what is below %d", x.id, to)
	return true
}
