package replication

import (
	"fmt"
	"slices"
)

// violation is a broken invariant. Its message starts with the invariant's number.
type violation struct{ error }

func broken(format string, args ...any) { panic(violation{fmt.Errorf(format, args...)}) }

// record returns the record at offset as seen by a replica: from its log, or from objects below start.
func (x *node) record(entries []entry, start, offset int64) (entry, bool) {
	if offset < start {
		if offset < int64(len(x.w.tier)) {
			return x.w.tier[offset], true
		}
		return entry{}, false
	}
	if offset < int64(len(entries)) {
		return entries[offset], true
	}
	return entry{}, false
}

// appended checks and registers a leader's append.
func (w *world) appended(x *node, offset int64, e entry) {
	if other, ok := w.leaders[e.epoch]; ok && other != x.id {
		broken("1: brokers %d and %d both lead in epoch %d", other, x.id, e.epoch)
	}
	w.leaders[e.epoch] = x.id
	key := [2]int64{int64(e.epoch), offset}
	if _, ok := w.written[key]; ok {
		broken("18: offset %d was given out twice in epoch %d", offset, e.epoch)
	}
	w.written[key] = e.value
}

// acknowledged checks that the records below end, which x acknowledged, are committed and on enough disks.
func (w *world) acknowledged(x *node, end int64) {
	w.observe()
	if end > int64(len(w.committed)) {
		broken("6: offset %d is acknowledged, %d are committed", end-1, len(w.committed))
	}
	copies := 0
	for _, o := range w.nodes {
		if e, ok := o.record(o.disk, o.dstart, end-1); o.lossy || ok && e == w.committed[end-1] {
			copies++
		}
	}
	if copies < w.minISR {
		broken("10: offset %d is acknowledged and on %d disks", end-1, copies)
	}
}

// observe registers records below the leaders' high watermarks as committed, and checks that no replica
// disagrees with them.
func (w *world) observe() {
	for _, x := range w.nodes {
		if !x.up {
			continue
		}
		for o := x.start; o < x.r.HighWatermark(); o++ {
			e, ok := x.record(x.mem, x.start, o)
			if !ok {
				broken("6: broker %d has a high watermark of %d and no record %d", x.id, x.r.HighWatermark(), o)
			}
			switch _, leads := x.r.Leads(); {
			case o < int64(len(w.committed)):
				if w.committed[o] != e {
					broken("2: broker %d has %+v as committed record %d; it was %+v", x.id, e, o, w.committed[o])
				}
			case !leads:
				broken("6: broker %d, which follows, has a high watermark of %d; %d are committed", x.id, x.r.HighWatermark(), len(w.committed))
			default:
				w.committed = append(w.committed, e)
				w.seen.commits++
			}
		}
	}
}

// tiered checks an accepted upload and adds it to the tier.
func (w *world) tiered(u upload) {
	if u.base != int64(len(w.tier)) {
		broken("11: an object of [%d, %d) follows the tier end %d", u.base, u.end, len(w.tier))
	}
	w.tier = append(w.tier, u.entries...)
}

// check panics with a violation if an invariant does not hold.
func (w *world) check() {
	w.observe()
	v := w.latest()
	if int(v.rec.TierEnd) > len(w.committed) {
		broken("11: the tier end is %d, %d are committed", v.rec.TierEnd, len(w.committed))
	}
	for o, e := range w.tier {
		if e != w.committed[o] {
			broken("11: record %d is %+v in objects; committed was %+v", o, e, w.committed[o])
		}
	}
	for _, x := range w.nodes {
		if x.dstart > v.rec.TierEnd {
			broken("13: the log of broker %d starts at %d, the tier end is %d", x.id, x.dstart, v.rec.TierEnd)
		}
		if slices.Contains(v.rec.ISR, x.id) || slices.Contains(v.rec.ELR, x.id) {
			for o, e := range w.committed {
				if got, ok := x.record(x.disk, x.dstart, int64(o)); !ok || got != e {
					broken("3: broker %d is in ISR %v or ELR %v without committed record %d", x.id, v.rec.ISR, v.rec.ELR, o)
				}
			}
		}
	}
	for o, e := range w.committed {
		found := o < len(w.tier)
		for _, x := range w.nodes {
			got, ok := x.record(x.disk, x.dstart, int64(o))
			found = found || ok && got == e
		}
		if !found {
			broken("15: committed record %d is nowhere", o)
		}
	}
}

// rested reports whether a healed world has come to rest: all replicas are in sync and have the same
// log.
func (w *world) rested() bool {
	v := w.latest()
	if len(v.rec.ISR) != len(w.nodes) || v.rec.Leader == NoLeader || len(w.changes) > 0 {
		return false
	}
	leader := w.nodes[v.rec.Leader]
	for _, x := range w.nodes {
		if !x.up || x.view != len(w.versions)-1 || len(x.pending) > 0 || len(x.tokens) > 0 || x.r.HighWatermark() != int64(len(leader.mem)) {
			return false
		}
		for o := range leader.mem {
			a, _ := x.record(x.mem, x.start, int64(o))
			if b, _ := leader.record(leader.mem, leader.start, int64(o)); a != b {
				return false
			}
		}
	}
	return leader.r.Known()
}
