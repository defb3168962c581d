package group

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// TestModelOfRoom has more groups than there is room for, in number and in bytes, come and
// go over several lanes: clients commit and join, many at once, groups are left, deleted
// and expire, writes are slow and fail, and the coordinator restarts. What is charged is
// never above the limits and is what there is; every request is answered once; a group
// goes only by deletion, by expiry or to make room, and then it had no member, no commit
// under way, and no other was unused for longer.
func TestModelOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(rt *rapid.T) { modelOfRoom(t, rt) })
	})
}

// session is the timeout of members.
const session = 10 * time.Second

var roomGroups = []string{"a", "b", "c", "d", "e", "f", "g", "h"}

type roomModel struct {
	h        *harness
	rt       *rapid.T
	calls    []*roomCall
	next     int64
	acked    map[string]int64     // the newest offset acknowledged
	ackedAt  map[string]time.Time // when it was sent
	members  map[string]*roomMember
	idle     map[string]time.Time // since when nothing is under way with a group
	looked   time.Time
	failures float64
	slow     bool
	quickAt  time.Time // since when nothing slow is under way, unless slow
	evicted  evictions
}

type roomCall struct {
	*call
	group  string
	offset int64
	over   bool
}

type roomMember struct {
	*consumer
	since  time.Time
	heard  time.Time
	synced bool // so that a restart knows it
}

// evictions is a slog.Handler that keeps those.
type evictions struct {
	logged
	emu  sync.Mutex
	gone []victim
}

// Handle implements slog.Handler.
func (e *evictions) Handle(_ context.Context, r slog.Record) error {
	if !strings.Contains(r.Message, "unused the longest was removed") {
		return nil
	}
	var v victim
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "group":
			v.name = a.Value.String()
		case "unused_since":
			v.sinceMs = a.Value.Time().UnixMilli()
		}
		return true
	})
	e.emu.Lock()
	defer e.emu.Unlock()
	e.gone = append(e.gone, v)
	return nil
}

func (e *evictions) take() []victim {
	e.emu.Lock()
	defer e.emu.Unlock()
	gone := e.gone
	e.gone = nil
	return gone
}

func modelOfRoom(t *testing.T, rt *rapid.T) {
	s := newStore(newTopic("orders", 4))
	m := &roomModel{h: &harness{t: t, store: s, cfg: devConfig()}, rt: rt, acked: map[string]int64{}, ackedAt: map[string]time.Time{},
		members: map[string]*roomMember{}, idle: map[string]time.Time{}}
	m.h.log = &m.evicted
	cfg := &m.h.cfg
	cfg.Groups, cfg.GroupBytes, cfg.MetadataBytes, cfg.Queue = 4, 8<<10, 64<<10, 6
	cfg.Lanes, cfg.Writes, cfg.OffsetsRetention, cfg.SweepInterval = 3, 2, time.Minute, 7*time.Second
	m.open()
	defer func() { m.h.c.Close() }()
	rt.Repeat(map[string]func(*rapid.T){
		"":        func(*rapid.T) { m.look() },
		"commit":  m.commit,
		"commit2": m.commit,
		"join":    m.join,
		"leave":   m.leave,
		"delete":  m.delete,
		"promise": m.promise,
		"slow": func(rt *rapid.T) {
			ms := rapid.SampledFrom([]int{0, 1, 1, 700, 6000}).Draw(rt, "ms")
			if m.slow {
				m.quickAt = time.Now().Add(time.Minute) // what began before is over then
			}
			m.slow = ms > 1
			s.setDelay(time.Duration(ms) * time.Millisecond)
		},
		"break": func(rt *rapid.T) {
			if rapid.IntRange(0, 2).Draw(rt, "rarely") == 0 {
				s.setFailure(errors.New("no quorum"))
			}
		},
		"mend": func(*rapid.T) { s.setFailure(nil) },
		"wait": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 10, 500, 3000, 20_000, 90_000}).Draw(rt, "ms")) * time.Millisecond)
		},
		"reopen": m.reopen,
	})
	s.setFailure(nil)
	s.setDelay(0)
	time.Sleep(time.Minute)
	m.look()
	m.h.audit()
	m.h.c.Close()
	for _, c := range m.calls {
		if len(c.answers()) != 1 {
			rt.Fatalf("%T of group %s was answered %d times", c.what, c.group, len(c.answers()))
		}
	}
	m.h.open()
}

func (m *roomModel) open() {
	m.h.open()
	m.h.c.evictLog = rate.NewLimiter(rate.Inf, 1)
	m.failures = 0
}

func (m *roomModel) group() string { return rapid.SampledFrom(roomGroups).Draw(m.rt, "group") }

// uses says that something begins with a group.
func (m *roomModel) uses(group string) { delete(m.idle, group) }

func (m *roomModel) commit(rt *rapid.T) {
	g := m.group()
	for range rapid.IntRange(1, 3).Draw(rt, "n") {
		m.next++
		m.uses(g)
		text := strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 3000}).Draw(rt, "text"))
		req := commitRequest(g, "", -1, at{"orders", 0, m.next, ""}, at{"orders", int32(rapid.IntRange(1, 3).Draw(rt, "partition")), 1, text})
		if mem, ok := m.members[g]; ok {
			req.MemberID, req.Generation = mem.id, mem.generation
			mem.heard = time.Now()
		}
		m.calls = append(m.calls, &roomCall{call: m.h.send(9, req), group: g, offset: m.next})
	}
}

// join has a group's only member join, and get its assignment if it can.
func (m *roomModel) join(rt *rapid.T) {
	g := m.group()
	if _, ok := m.members[g]; ok {
		return
	}
	m.uses(g)
	c := m.h.consumer(g)
	c.version = 3
	says := strings.Repeat("x", rapid.SampledFrom([]int{1, 2500}).Draw(rt, "says"))
	got := answer[*kmsg.JoinGroupResponse](m.h.t, m.h.send(3, c.joinRequest("orders", says)))
	switch got.ErrorCode {
	case 0:
	case kerr.CoordinatorNotAvailable.Code:
		return
	default:
		rt.Fatalf("join: %v", kerr.ErrorForCode(got.ErrorCode))
	}
	if got.LeaderID != got.MemberID { // one that is still there by a promise kept, or was lost
		return
	}
	c.id, c.generation, c.leader, c.members = got.MemberID, got.Generation, true, got.Members[:1]
	mem := &roomMember{consumer: c, since: time.Now(), heard: time.Now()}
	m.members[g] = mem
	mem.synced = answer[*kmsg.SyncGroupResponse](m.h.t, c.sync()).ErrorCode == 0
	if !mem.synced {
		m.drop(g)
	}
}

// drop has the member of a group vanish.
func (m *roomModel) drop(g string) {
	delete(m.members, g)
	m.uses(g)
}

func (m *roomModel) leave(*rapid.T) {
	g := m.group()
	mem, ok := m.members[g]
	if !ok {
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = g, mem.id
	if got := answer[*kmsg.LeaveGroupResponse](m.h.t, m.h.send(2, req)); got.ErrorCode != 0 {
		m.rt.Fatalf("leave: %v", kerr.ErrorForCode(got.ErrorCode))
	}
	m.drop(g)
}

func (m *roomModel) delete(rt *rapid.T) {
	g := m.group()
	if rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
		return
	}
	m.uses(g)
	switch code := m.h.delete(2, g)[0]; code {
	case 0, kerr.GroupIDNotFound.Code:
		time.Sleep(30 * time.Second) // what was under way is over
		m.settle()
		m.acked[g] = 0
	case kerr.NonEmptyGroup.Code, kerr.CoordinatorNotAvailable.Code:
	default:
		rt.Fatalf("delete: %v", kerr.ErrorForCode(code))
	}
}

// promise is a client that is given a member id and does not come back.
func (m *roomModel) promise(*rapid.T) {
	g := m.group()
	m.uses(g)
	m.calls = append(m.calls, &roomCall{call: m.h.send(9, m.h.consumer(g).joinRequest("orders")), group: g})
}

func (m *roomModel) reopen(*rapid.T) {
	m.look()
	m.h.c.Close()
	m.settle()
	m.check(m.evicted.take())
	m.open()
	for _, mem := range m.members {
		mem.heard = time.Now()
	}
	m.look()
}

// settle takes the answers that have come.
func (m *roomModel) settle() {
	for _, c := range m.calls {
		got := c.answers()
		if len(got) == 0 || c.over {
			continue
		}
		c.over = true
		m.uses(c.group)
		resp, ok := got[0].(*kmsg.OffsetCommitResponse)
		if !ok {
			continue
		}
		switch code := resp.Topics[0].Partitions[0].ErrorCode; code {
		case 0:
			m.acked[c.group], m.ackedAt[c.group] = max(m.acked[c.group], c.offset), c.at
		case kerr.CoordinatorNotAvailable.Code, kerr.UnknownMemberID.Code, kerr.IllegalGeneration.Code, kerr.RebalanceInProgress.Code:
		default:
			m.rt.Fatalf("the commit of %d: %v", c.offset, kerr.ErrorForCode(code))
		}
	}
}

// look lets everything come to rest that can, and checks what is to hold at any time.
func (m *roomModel) look() {
	synctest.Wait()
	m.settle()
	now := time.Now()
	used, _ := m.h.c.room.now()
	if used.groups > m.h.cfg.Groups || used.bytes > m.h.cfg.MetadataBytes || used.groups < 0 || used.bytes < 0 {
		m.rt.Fatalf("%+v is used", used)
	}
	m.check(m.evicted.take())
	for g, mem := range m.members {
		if now.Sub(mem.heard) >= session { // its session is over, or may be
			m.drop(g)
			continue
		}
		if !slices.Contains(m.membersOf(g), mem.id) {
			m.rt.Fatalf("group %s has lost its member %s", g, mem.id)
		}
	}
	busy := map[string]bool{}
	for _, c := range m.calls {
		busy[c.group] = busy[c.group] || !c.over
	}
	for _, g := range roomGroups {
		kept, there := m.h.store.Group(g)
		_, has := m.members[g]
		if !there || has || busy[g] || len(kept.Members) > 0 {
			m.uses(g)
		} else if m.idle[g].IsZero() {
			m.idle[g] = now.Add(40 * time.Second) // promises and deletions that are under way are over then
		}
	}
	m.looked = now
}

// check judges what has gone and what is there.
func (m *roomModel) check(gone []victim) {
	failed := testutil.ToFloat64(m.h.c.metrics.failures)
	calm := failed == m.failures && !m.slow && m.quickAt.Before(m.looked)
	m.failures = failed
	for _, v := range gone {
		if mem, ok := m.members[v.name]; ok && mem.since.Before(m.looked) && time.Since(mem.heard) < session {
			m.rt.Fatalf("group %s was removed, which has a member", v.name)
		}
		for g, since := range m.idle {
			kept, there := m.h.store.Group(g)
			if !there || !calm || g == v.name || since.After(m.looked) {
				continue
			}
			used := keptOf(kept).used()
			expires := time.UnixMilli(used).Add(m.h.cfg.OffsetsRetention) // then it is being deleted
			if used < v.sinceMs && time.Now().Before(expires) {
				m.rt.Fatalf("group %s made room, unused since %d, and not %s, unused since %d", v.name, v.sinceMs, g, used)
			}
		}
		m.acked[v.name] = 0
		for _, c := range m.calls { // what is acknowledged later is of a new group
			if c.group == v.name && !c.over {
				m.uses(v.name)
			}
		}
	}
	for _, g := range roomGroups {
		kept, there := m.h.store.Group(g)
		if !there {
			if m.acked[g] > 0 && time.Since(m.ackedAt[g]) < m.h.cfg.OffsetsRetention {
				m.rt.Fatalf("group %s has gone", g)
			}
			m.acked[g] = 0
			continue
		}
		if at := keptAt(kept.Offsets); m.acked[g] > 0 && at < m.acked[g] && time.Since(m.ackedAt[g]) < m.h.cfg.OffsetsRetention {
			m.rt.Fatalf("group %s is at %d, %d was acknowledged", g, at, m.acked[g])
		}
	}
}

// keptAt is the offset of partition 0.
func keptAt(o offsets) int64 {
	for p, o := range o {
		if p.Index == 0 {
			return o.Offset
		}
	}
	return -1
}

func (m *roomModel) membersOf(g string) (ids []string) {
	found := make(chan []string, 1)
	m.h.c.post(m.h.c.lane(g), func(l *lane) {
		var ids []string
		if e, ok := l.groups[g]; ok {
			for _, mem := range e.g.Describe().Members {
				ids = append(ids, mem.ID)
			}
		}
		found <- ids
	})
	return <-found
}

// used is when the group was used last, as far as it is durable.
func (k kept) used() int64 { return max(k.usedMs, k.from.StateMs) }
