package wal

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// written is an append as remembered by the test.
type written struct {
	partition int32
	batch     []byte
	base      int64
	epoch     int32
	position  partition.Position // set once acknowledged
	group     partition.Position // set once acknowledged
}

func (w *written) entry() partition.Entry {
	return partition.Entry{Base: w.base, Position: w.position, Group: w.group, Size: int32(len(w.batch)), Epoch: w.epoch}
}

// history records what was submitted to a log over all its lives, and stands in for
// the uploader and the metadata.
type history struct {
	mu      sync.Mutex
	appends []*written      // in order of submission
	index   map[int64]int   // index into appends, by base
	acked   int64           // base of the first unacknowledged append
	tier    map[int32]int64 // by partition: offsets below are in objects

	begun []truncated // truncations started
	done  int         // number of them acknowledged
}

// truncated is a truncation: it voids the partition's batches from base on among the first
// upTo appends.
type truncated struct {
	partition int32
	base      int64
	upTo      int
}

// truncate makes f truncate a partition at one of its acknowledged batches.
func (h *history) truncate(f func(index int32, offset int64) error, pick int) error {
	h.mu.Lock()
	if len(h.appends) == 0 {
		h.mu.Unlock()
		return nil
	}
	w := h.appends[pick%len(h.appends)]
	h.begun = append(h.begun, truncated{w.partition, w.base, len(h.appends)})
	h.mu.Unlock()
	err := f(w.partition, w.base)
	if err == nil {
		h.mu.Lock()
		h.done++
		h.mu.Unlock()
	}
	return err
}

// valid returns the appends that remain after the first cuts truncations. Holds mu.
func (h *history) valid(cuts int) (left []*written) {
	for i, w := range h.appends {
		void := false
		for _, c := range h.begun[:cuts] {
			void = void || i < c.upTo && w.partition == c.partition && w.base >= c.base
		}
		if !void {
			left = append(left, w)
		}
	}
	return left
}

func (h *history) submitted(g *flow.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.index == nil {
		h.index = map[int64]int{}
	}
	for _, a := range appends(g) {
		h.index[a.BaseOffset] = len(h.appends)
		h.appends = append(h.appends, &written{partition: a.Partition.Index, batch: bytes.Clone(a.Batch), base: a.BaseOffset, epoch: a.Epoch})
	}
}

// settled records the acknowledgement of g.
func (h *history) settled(g *flow.Group, err error) {
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range appends(g) {
		w := h.appends[h.index[a.BaseOffset]]
		w.position, w.group = g.Position+partition.Position(a.At), g.Position
		h.acked = a.BaseOffset + 1
	}
}

// upload moves the tier ends of partitions, nil for all, past everything
// acknowledged and not truncated, as an upload of committed records does, and
// makes l reclaim.
func (h *history) upload(l *Log, partitions ...int32) {
	h.mu.Lock()
	tier := maps.Clone(h.tier)
	if tier == nil {
		tier = map[int32]int64{}
	}
	for _, w := range h.valid(h.done) {
		if w.base < h.acked && (len(partitions) == 0 || slices.Contains(partitions, w.partition)) {
			tier[w.partition] = max(tier[w.partition], w.base+1)
		}
	}
	h.tier = tier
	h.mu.Unlock()
	l.Reclaim()
}

// uploaded is the log's Done function. Offsets have gaps here, so a truncation may leave
// an end beyond the last batch.
func (h *history) uploaded(p topic.Partition, end int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tier[p.Index] >= end || !slices.ContainsFunc(h.valid(h.done), func(w *written) bool {
		return w.partition == p.Index && w.base >= h.tier[p.Index] && w.base < end
	})
}

// state is what a recovery must find after a crash at this moment.
type state struct {
	acked      int64
	tier       map[int32]int64 // immutable
	done, most int             // number of truncations that must be applied, and that may be
}

var stateOfNothing = state{}

func (h *history) state() state {
	h.mu.Lock()
	defer h.mu.Unlock()
	return state{h.acked, h.tier, h.done, len(h.begun)}
}

// crash takes a crash image and returns what must be on it: what was acknowledged before
// the crash, except what was in objects after it.
func (h *history) crash(take func() *crashfs.FS) (*crashfs.FS, state) {
	before := h.state()
	after := take()
	now := h.state()
	return after, state{before.acked, now.tier, before.done, now.most}
}

// check checks the recovered batches: nothing is invented or out of order, there are no
// gaps, and everything acknowledged is there unless it is in objects or truncated.
func (h *history) check(got []Recovered, s state) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for cuts := s.done; cuts <= s.most; cuts++ {
		if err = s.compare(got, h.valid(cuts)); err == nil {
			return nil
		}
	}
	return err
}

// compare checks got against one of the possible histories.
func (s state) compare(got []Recovered, appends []*written) error {
	index := make(map[int64]int, len(appends))
	for i, w := range appends {
		index[w.base] = i
	}
	at := -1
	for i, r := range got {
		next, ok := index[r.Base]
		switch {
		case !ok || !bytes.Equal(appends[next].batch, r.Batch):
			return fmt.Errorf("batch %d at offset %d was never written, or was trimmed before", i, r.Base)
		case i > 0 && next != at+1:
			return fmt.Errorf("batch %d at offset %d does not follow the one before", i, r.Base)
		}
		at = next
	}
	for _, w := range appends {
		if w.base >= s.acked || w.base < s.tier[w.partition] {
			continue
		}
		if len(got) == 0 || w.base < got[0].Base || w.base > got[len(got)-1].Base {
			return fmt.Errorf("the batch at offset %d was acknowledged and is lost", w.base)
		}
	}
	return nil
}

// rebase makes the recovered batches the new truth. Anything else submitted before counts
// as trimmed, like what was truncated, and must never return.
func (h *history) rebase(got []Recovered, s state) {
	h.tier = s.tier // later uploads of the dead process do not count
	var left []*written
	for _, r := range got {
		left = append(left, h.appends[h.index[r.Base]])
	}
	h.appends, h.begun, h.done = left, nil, 0
	h.index = map[int64]int{}
	for i, w := range h.appends {
		h.index[w.base] = i
		w.position, w.group, h.acked = got[i].Position, got[i].Group, w.base+1
	}
}

// resume makes s the truth after the process died. The next recovery determines what else
// there is, at most what was submitted.
func (h *history) resume(s state) {
	h.acked, h.tier, h.done, h.begun = s.acked, s.tier, s.done, h.begun[:s.most]
}

// checkRotten is like check for a damaged log: batches may be missing, but not wrong or
// out of order.
func (h *history) checkRotten(got []Recovered) error {
	last := int64(-1)
	for _, r := range got {
		at, ok := h.index[r.Base]
		if !ok || !bytes.Equal(h.appends[at].batch, r.Batch) || r.Base <= last {
			return fmt.Errorf("the batch at offset %d is not the one written, or out of order", r.Base)
		}
		last = r.Base
	}
	return nil
}
