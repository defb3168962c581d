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

// TestModelOfQuota runs more groups than the limits allow, in number and bytes, over several
// lanes: clients commit and join concurrently, groups are left, deleted and expire, writes are
// slow or fail, and the coordinator restarts. The charges never exceed the limits and match the
// groups; every request is answered once; a group disappears only by deletion, expiry or
// eviction, and an evicted one had no member and no commit in progress, and no other was unused
// for longer.
func TestModelOfQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(rt *rapid.T) { modelOfRoom(t, rt) })
	})
}

// session is the session timeout of members.
const session = 10 * time.Second

var roomGroups = []string{"a", "b", "c", "d", "e", "f", "g", "h"}

type quotaModel struct {
	h        *harness
	rt       *rapid.T
	calls    []*roomCall
	next     int64
	acked    map[string]int64     // the newest acknowledged offset
	ackedAt  map[string]time.Time // when it was sent
	members  map[string]*roomMember
	idle     map[string]time.Time // since when nothing is in progress for a group
	looked   time.Time
	failures float64
	slow     bool
	quickAt  time.Time // since when no slow request is in progress, unless slow
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
	synced bool // a restart knows it
}

// evictions is a slog.Handler that stores evictions.
type evictions struct {
	logged
	emu  sync.Mutex
	gone []victim
}

// Handle implements slog.Handler.
func (e *evictions) Handle(_ context.Context, r slog.Record) error {
	if !strings.Contains(r.Message, "evicted the consumer group unused the longest") {
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
	m := &quotaModel{h: &harness{t: t, store: s, cfg: devConfig()}, rt: rt, acked: map[string]int64{}, ackedAt: map[string]time.Time{},
		members: map[string]*roomMember{}, idle: map[string]time.Time{}}
	m.h.log = &m.evicted
	cfg := &m.h.cfg
	cfg.Groups, cfg.GroupBytes, cfg.MetadataBytes, cfg.Queue = 4, 8<<10, 64<<10, 6
	cfg.Lanes, cfg.Writes, cfg.OffsetsRetention, cfg.OffsetsCheckInterval = 3, 2, time.Minute, 7*time.Second
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
				m.quickAt = time.Now().Add(time.Minute) // everything started before has ended by then
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
			rt.Fatalf("%T of group %s got %d responses", c.what, c.group, len(c.answers()))
		}
	}
	m.h.open()
}

func (m *quotaModel) open() {
	m.h.open()
	m.h.c.evictLog = rate.NewLimiter(rate.Inf, 1)
	m.failures = 0
}

func (m *quotaModel) group() string { return rapid.SampledFrom(roomGroups).Draw(m.rt, "group") }

// uses records that a request for a group starts.
func (m *quotaModel) uses(group string) { delete(m.idle, group) }

func (m *quotaModel) commit(rt *rapid.T) {
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

// join makes a group's only member join, and get its assignment if it can.
func (m *quotaModel) join(rt *rapid.T) {
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
	if got.LeaderID != got.MemberID { // an earlier member, still there or lost
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

// drop makes the member of a group disappear.
func (m *quotaModel) drop(g string) {
	delete(m.members, g)
	m.uses(g)
}

func (m *quotaModel) leave(*rapid.T) {
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

func (m *quotaModel) delete(rt *rapid.T) {
	g := m.group()
	if rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
		return
	}
	m.uses(g)
	switch code := m.h.delete(2, g)[0]; code {
	case 0, kerr.GroupIDNotFound.Code:
		time.Sleep(30 * time.Second) // everything in progress has ended
		m.collect()
		m.acked[g] = 0
	case kerr.NonEmptyGroup.Code, kerr.CoordinatorNotAvailable.Code:
	default:
		rt.Fatalf("delete: %v", kerr.ErrorForCode(code))
	}
}

// promise is a client that is given a member id and does not come back.
func (m *quotaModel) promise(*rapid.T) {
	g := m.group()
	m.uses(g)
	m.calls = append(m.calls, &roomCall{call: m.h.send(9, m.h.consumer(g).joinRequest("orders")), group: g})
}

func (m *quotaModel) reopen(*rapid.T) {
	m.look()
	m.h.c.Close()
	m.collect()
	m.check(m.evicted.take())
	m.open()
	for _, mem := range m.members {
		mem.heard = time.Now()
	}
	m.look()
}

// collect reads the responses that have arrived.
func (m *quotaModel) collect() {
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

// look waits until nothing runs, and checks the invariants.
func (m *quotaModel) look() {
	synctest.Wait()
	m.collect()
	now := time.Now()
	used, _ := m.h.c.quota.now()
	if used.groups > m.h.cfg.Groups || used.bytes > m.h.cfg.MetadataBytes || used.groups < 0 || used.bytes < 0 {
		m.rt.Fatalf("usage is %+v", used)
	}
	m.check(m.evicted.take())
	for g, mem := range m.members {
		if now.Sub(mem.heard) >= session { // its session has expired, or may have
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
			m.idle[g] = now.Add(40 * time.Second) // pending ids and deletions in progress have ended by then
		}
	}
	m.looked = now
}

// check checks the evicted groups and the remaining ones.
func (m *quotaModel) check(gone []victim) {
	failed := testutil.ToFloat64(m.h.c.metrics.failures)
	calm := failed == m.failures && !m.slow && m.quickAt.Before(m.looked)
	m.failures = failed
	for _, v := range gone {
		if mem, ok := m.members[v.name]; ok && mem.since.Before(m.looked) && time.Since(mem.heard) < session {
			m.rt.Fatalf("group %s was evicted although it has a member", v.name)
		}
		for g, since := range m.idle {
			kept, there := m.h.store.Group(g)
			if !there || !calm || g == v.name || since.After(m.looked) {
				continue
			}
			used := keptOf(kept).used()
			expires := time.UnixMilli(used).Add(m.h.cfg.OffsetsRetention) // it is being deleted then
			if used < v.sinceMs && time.Now().Before(expires) {
				m.rt.Fatalf("group %s, unused since %d, was evicted instead of %s, unused since %d", v.name, v.sinceMs, g, used)
			}
		}
		m.acked[v.name] = 0
		for _, c := range m.calls { // an acknowledgement after it belongs to a new group
			if c.group == v.name && !c.over {
				m.uses(v.name)
			}
		}
	}
	for _, g := range roomGroups {
		kept, there := m.h.store.Group(g)
		if !there {
			if m.acked[g] > 0 && time.Since(m.ackedAt[g]) < m.h.cfg.OffsetsRetention {
				m.rt.Fatalf("group %s is missing", g)
			}
			m.acked[g] = 0
			continue
		}
		if at := keptAt(kept.Offsets); m.acked[g] > 0 && at < m.acked[g] && time.Since(m.ackedAt[g]) < m.h.cfg.OffsetsRetention {
			m.rt.Fatalf("group %s is at %d, %d was acknowledged", g, at, m.acked[g])
		}
	}
}

// keptAt returns the offset of partition 0.
func keptAt(o offsets) int64 {
	for p, o := range o {
		if p.Index == 0 {
			return o.Offset
		}
	}
	return -1
}

func (m *quotaModel) membersOf(g string) (ids []string) {
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

// used returns the durable time of last use.
func (k kept) used() int64 { return max(k.usedMs, k.from.StateMs) }
