package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
)

// commitTo commits one offset as a client that is not a member, and returns the code.
func (h *harness) commitTo(group string, offset int64) int16 {
	h.t.Helper()
	return codes(h.t, h.send(9, commitRequest(group, "", -1, at{"orders", 0, offset, ""})))[0]
}

// names returns the groups in ListGroups.
func (h *harness) names() string {
	h.t.Helper()
	var all []string
	for _, g := range answer[*kmsg.ListGroupsResponse](h.t, h.send(5, kmsg.NewPtrListGroupsRequest())).Groups {
		all = append(all, g.Group)
	}
	return strings.Join(all, " ")
}

// audit compares the charges with the actual groups, once nothing is in progress.
func (h *harness) audit() {
	h.t.Helper()
	synctest.Wait()
	sum := make(chan amount, len(h.c.lanes))
	for _, l := range h.c.lanes {
		h.c.post(l, func(l *lane) {
			n, spare := l.held, amount{}
			for _, e := range l.groups {
				g, _ := h.store.Group(e.name)
				want := amount{1, perGroup + int64(len(e.name)) + copies*int64(e.g.Bytes()) + keptOf(g).bytes}
				if e.size() != want || e.charged != want {
					h.t.Errorf("group %s is charged %+v, counted as %+v, and is %+v", e.name, e.charged, e.size(), want)
				}
				n = n.plus(want)
				_, can := e.unused()
				if can != (e.rank >= 0) {
					h.t.Errorf("group %s is evictable: %v, has rank %d", e.name, can, e.rank)
				}
				if can {
					spare = spare.plus(want)
				}
			}
			if l.spare != spare {
				h.t.Errorf("%+v is evictable, counted as %+v", spare, l.spare)
			}
			sum <- n
		})
	}
	all := amount{}
	for range h.c.lanes {
		all = all.plus(<-sum)
	}
	if used := h.used(); used != all {
		h.t.Errorf("usage is %+v, the groups take %+v", used, all)
	}
}

func TestTheGroupUnusedTheLongestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		cfg := devConfig()
		cfg.Groups = 3
		h := start(t, s, cfg)
		for i, g := range []string{"a", "b", "c", "a"} { // a is used again
			if code := h.commitTo(g, int64(i)); code != 0 {
				t.Fatalf("commit of %s: %v", g, kerr.ErrorForCode(code))
			}
			time.Sleep(time.Second)
		}
		began := time.Now()
		if code := h.commitTo("d", 7); code != 0 {
			t.Fatalf("commit of a fourth group: %v", kerr.ErrorForCode(code))
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the eviction took %v", took)
		}
		if got := h.names(); got != "a c d" || h.offset("b", "orders", 0) != -1 || h.offset("d", "orders", 0) != 7 {
			t.Errorf("groups %s", got)
		}
		if _, there := s.Group("b"); there {
			t.Error("group b is still in the store")
		}
		if n := testutil.ToFloat64(h.c.metrics.evicted); n != 1 {
			t.Errorf("%v groups counted", n)
		}
		h.restart() // the time of last use is durable
		m := h.consumer("e")
		stabilize(m)
		if got := h.names(); got != "a d e" {
			t.Errorf("groups %s, after a restart and a new group with a member", got)
		}
		m.leave() // counts as use
		time.Sleep(time.Second)
		for _, want := range []string{"d e f", "e f g", "f g h"} {
			if code := h.commitTo(want[4:], 1); code != 0 || h.names() != want {
				t.Errorf("groups %s, want %s, code %d", h.names(), want, code)
			}
			time.Sleep(time.Second)
		}
		h.audit()
	})
}

func TestGroupsInUseMakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		cfg := devConfig()
		cfg.Groups = 3
		h := start(t, s, cfg)
		var log logged
		h.c.log = slog.New(&log)
		a, b := h.consumer("a"), h.consumer("b")
		stabilize(a, b)
		s.setDelay(time.Second)
		under := h.send(9, commitRequest("c", "", -1, at{"orders", 0, 1, ""}))
		synctest.Wait()
		refused := []int16{h.commitTo("d", 1), answer[*kmsg.JoinGroupResponse](t, h.send(3, h.consumer("e").joinRequest("orders"))).ErrorCode}
		for _, code := range refused {
			if !errors.Is(kerr.ErrorForCode(code), kerr.CoordinatorNotAvailable) {
				t.Errorf("with nothing to evict: %v, which clients do not retry", kerr.ErrorForCode(code))
			}
		}
		if n := testutil.ToFloat64(h.c.metrics.refused); n != 2 || log.count("have reached their limits") != 1 {
			t.Errorf("%v refusals counted, logged %v", n, log.lines)
		}
		if got := codes(t, under); got[0] != 0 {
			t.Errorf("the commit in progress: %v", got)
		}
		s.setDelay(time.Millisecond)
		if code := h.commitTo("d", 1); code != 0 || h.names() != "a b d" {
			t.Errorf("after it: code %d, groups %s", code, h.names())
		}
		if a.heartbeat() != 0 || b.heartbeat() != 0 {
			t.Error("a group with members was removed")
		}
		if log.count("unused the longest") != 1 {
			t.Errorf("logged %v", log.lines)
		}
		h.audit()
	})
}

// logged is a slog.Handler that stores messages.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

// Handle implements slog.Handler.
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Message)
	return nil
}

func (l *logged) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.lines {
		if strings.Contains(m, part) {
			n++
		}
	}
	return n
}

// Groups of clients that were given a member id and never came back are dropped first, since
// nothing is lost with them.
func TestPromisesMakeRoomFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.Groups = 20
		h := start(t, newStore(newTopic("orders", 2)), cfg)
		h.commitTo("old", 1)
		for i := range 100 {
			time.Sleep(10 * time.Millisecond)
			join := answer[*kmsg.JoinGroupResponse](t, h.send(9, h.consumer(fmt.Sprint("g", i)).joinRequest("orders")))
			if join.ErrorCode != kerr.MemberIDRequired.Code {
				t.Fatalf("join %d: %+v", i, join)
			}
		}
		if h.offset("old", "orders", 0) != 1 || h.used().groups != 20 {
			t.Errorf("offset %d, %+v", h.offset("old", "orders", 0), h.used())
		}
		h.audit()
		time.Sleep(time.Minute) // no pending id is left
		if got := h.names(); got != "old" {
			t.Errorf("groups %s", got)
		}
		h.audit()
	})
}

// A request that is refused anyway evicts nothing.
func TestRefusedRequestsMakeNobodyGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.Groups = 2
		h := start(t, newStore(newTopic("orders", 2)), cfg)
		h.commitTo("a", 1)
		h.commitTo("b", 1)
		join := h.consumer("c").joinRequest("orders")
		join.SessionTimeoutMillis = 1
		if got := answer[*kmsg.JoinGroupResponse](t, h.send(3, join)); got.ErrorCode != kerr.InvalidSessionTimeout.Code {
			t.Errorf("join %+v", got)
		}
		join = h.consumer("c").joinRequest("orders")
		join.Protocols = nil
		if got := answer[*kmsg.JoinGroupResponse](t, h.send(3, join)); got.ErrorCode != kerr.InconsistentGroupProtocol.Code {
			t.Errorf("join %+v", got)
		}
		join = h.consumer("c").joinRequest(strings.Repeat("x", 5<<20))
		if got := answer[*kmsg.JoinGroupResponse](t, h.send(3, join)); got.ErrorCode != kerr.GroupMaxSizeReached.Code {
			t.Errorf("join %+v", got)
		}
		if got := codes(t, h.send(9, commitRequest("c", "", -1, at{"nothing", 0, 1, ""}))); got[0] != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("commit %v", got)
		}
		if got := codes(t, h.send(9, commitRequest("c", "someone", -1, at{"orders", 0, 1, ""}))); got[0] != kerr.UnknownMemberID.Code {
			t.Errorf("commit %v", got)
		}
		if got := h.names(); got != "a b" || testutil.ToFloat64(h.c.metrics.evicted) != 0 {
			t.Errorf("groups %s", got)
		}
		h.audit()
	})
}

// A commit that waits for memory is not overtaken by a later one that needs none.
func TestCommitsOfAGroupStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 100))
		cfg := devConfig()
		cfg.GroupBytes, cfg.MetadataBytes = 4<<10, 64<<10
		h := start(t, s, cfg)
		for i := range 6 {
			h.send(9, commitRequest(fmt.Sprintf("g%d", i), "", -1, texts(2, 4000)...)).answers()
			time.Sleep(time.Second)
		}
		s.setDelay(time.Second)
		waits := h.send(9, commitRequest("g3", "", -1, at{"orders", 0, 2, strings.Repeat("x", 4000)}, at{"orders", 2, 2, strings.Repeat("x", 4000)}))
		later := h.send(9, commitRequest("g3", "", -1, at{"orders", 0, 3, ""}))
		if len(waits.answers())+len(later.answers()) > 0 {
			t.Fatal("both must wait")
		}
		if a, b := codes(t, waits), codes(t, later); a[0] != 0 || a[1] != 0 || b[0] != 0 {
			t.Errorf("codes %v %v", a, b)
		}
		if got := h.offset("g3", "orders", 0); got != 3 || h.names() != "g1 g2 g3 g4 g5" {
			t.Errorf("offset %d, groups %s", got, h.names())
		}
		h.audit()
	})
}

func TestWhoWaitsForRoomIsBoundedAndAnsweredAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		cfg := devConfig()
		cfg.Groups, cfg.Queue = 10, 8
		h := start(t, s, cfg)
		for i := range 10 {
			h.commitTo(fmt.Sprint("g", i), 1)
		}
		s.setDelay(3 * time.Second)
		var calls []*call
		for i := range 30 {
			calls = append(calls, h.send(9, commitRequest(fmt.Sprint("new", i), "", -1, at{"orders", 0, 1, ""})))
			synctest.Wait()
		}
		if err := testutil.GatherAndCompare(h.reg, strings.NewReader(`
# HELP sluice_group_requests_waiting Requests waiting for the eviction of other groups.
# TYPE sluice_group_requests_waiting gauge
sluice_group_requests_waiting 8
`), "sluice_group_requests_waiting"); err != nil {
			t.Error(err)
		}
		refused := 0
		for _, c := range calls {
			refused += len(c.answers())
		}
		if refused != 22 {
			t.Errorf("%d were refused at once", refused)
		}
		go h.c.Close()
		for _, c := range calls {
			if got := codes(t, c); got[0] != 0 && got[0] != kerr.CoordinatorNotAvailable.Code {
				t.Errorf("code %v", kerr.ErrorForCode(got[0]))
			}
		}
	})
}

func TestEvictionThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		cfg := devConfig()
		cfg.Groups = 1
		h := start(t, s, cfg)
		h.commitTo("a", 1)
		s.setFailure(errors.New("no quorum"))
		if code := h.commitTo("b", 1); code != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("code %v", kerr.ErrorForCode(code))
		}
		if h.names() != "a" || h.offset("a", "orders", 0) != 1 || testutil.ToFloat64(h.c.metrics.evicted) != 0 {
			t.Errorf("groups %s", h.names())
		}
		s.setFailure(nil)
		if code := h.commitTo("b", 1); code != 0 || h.names() != "b" {
			t.Errorf("code %d, groups %s", code, h.names())
		}
		h.audit()
	})
}

func TestMoreGroupsThanThereMayBeAtAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		h := start(t, s, devConfig())
		for i := range 30 {
			h.commitTo(fmt.Sprintf("g%02d", i), 1)
			time.Sleep(time.Second)
		}
		m := h.consumer("g00") // the oldest has a member, so it stays
		stabilize(m)
		h.cfg.Groups = 3
		h.restart()
		time.Sleep(5 * time.Second)
		if got := h.names(); got != "g00 g28 g29" {
			t.Errorf("groups %s", got)
		}
		if m.heartbeat() != 0 {
			t.Error("its member is unknown")
		}
		h.audit()
	})
}

// A write that timed out and was applied later leaves a group that becomes known.
func TestGroupsOfLateWritesAreTakenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		h := start(t, s, devConfig())
		s.setFailure(meta.ErrUnavailable)
		h.commitTo("g", 1)
		s.setFailure(nil)
		s.mu.Lock()
		s.apply("g", meta.GroupChange{Set: offsets{{Topic: s.view.Topics()[0].ID}: {Offset: 1, CommitMs: time.Now().UnixMilli()}}})
		s.mu.Unlock()
		if h.used().groups != 0 {
			t.Fatalf("%+v", h.used())
		}
		time.Sleep(h.cfg.OffsetsCheckInterval + time.Second)
		if got := h.names(); got != "g" {
			t.Errorf("groups %s", got)
		}
		h.audit()
		time.Sleep(8 * day)
		if got := h.names(); got != "" {
			t.Errorf("groups %s after their retention", got)
		}
	})
}

func TestVictimsInOrder(t *testing.T) {
	want := []victim{{unused: unused{true, 9}, name: "z"}, {unused: unused{true, 10}, name: "a"}, {unused: unused{false, 1}, name: "b"},
		{unused: unused{false, 2}, name: "a"}, {unused: unused{false, 2}, name: "c"}}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, victim.before)
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// BenchmarkNewGroupsInTheFullTable measures commits that each evict a group first.
func BenchmarkNewGroupsInTheFullTable(b *testing.B) {
	s := newStore(newTopic("orders", 1))
	s.delay = 0
	cfg := devConfig()
	cfg.Groups = 10_000
	c, err := New(cfg, s, clock.System{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	commit := func(name string) {
		done := make(chan kmsg.Response, 1)
		req := commitRequest(name, "", -1, at{"orders", 0, 1, ""})
		req.SetVersion(9)
		c.Serve(context.Background(), "client", "/h", 9, req, func(r kmsg.Response) { done <- r })
		if code := (<-done).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
			b.Fatal(kerr.ErrorForCode(code))
		}
	}
	for i := range cfg.Groups {
		commit(fmt.Sprint("old", i))
	}
	for i := 0; b.Loop(); i++ {
		commit(fmt.Sprint("new", i))
	}
}

func TestWhatComesLaterDoesNotPass(t *testing.T) {
	r := newQuota(amount{3, 100}, 2)
	large, small := &claim{need: amount{0, 50}}, &claim{need: amount{1, 1}}
	if !r.take(amount{3, 85}) || r.take(amount{1, 0}) || r.take(amount{0, 16}) || !r.take(amount{0, 5}) {
		t.Fatal("take must accept what fits, and nothing else")
	}
	if !r.wait(large) || !r.wait(small) || r.wait(&claim{}) {
		t.Fatal("two claims may wait")
	}
	if need := r.lacks(); need != (amount{1, 41}) {
		t.Errorf("%+v must be freed", need)
	}
	if r.take(amount{0, 1}) || len(r.grant()) != 0 {
		t.Error("a claim of one byte overtook one of fifty")
	}
	r.adjust(amount{0, -45})
	if got := r.grant(); !slices.Equal(got, []*claim{large}) {
		t.Errorf("granted %v", got)
	}
	r.adjust(amount{-1, 0})
	if got := r.grant(); !slices.Equal(got, []*claim{small}) {
		t.Errorf("granted %v, usage is %+v", got, r.used)
	}
	if r.used != (amount{3, 96}) {
		t.Errorf("usage is %+v", r.used)
	}
}

// A group that is used between being selected and evicted stays.
func TestAVictimThatIsUsedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		h.commitTo("a", 1)
		time.Sleep(time.Second)
		found, _ := h.c.victims(amount{groups: 1})
		if len(found) != 1 || found[0].name != "a" {
			t.Fatalf("found %+v", found)
		}
		h.commitTo("a", 2)
		synctest.Wait()
		done := make(chan outcome, 1)
		h.c.post(found[0].lane, func(l *lane) { l.evict(found[0], func(o outcome) { done <- o }) })
		if <-done != used || h.offset("a", "orders", 0) != 2 {
			t.Errorf("it was evicted, offset %d", h.offset("a", "orders", 0))
		}
	})
}

// A request that starts to wait while the coordinator closes is answered too.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(), devConfig())
		h.c.Close()
		if h.c.quota.wait(&claim{}) {
			t.Error("a claim waits for ever")
		}
		for range 20 { // either may happen first
			answers := 0
			h.c.quota = newQuota(amount{}, 1)
			h.c.quota.wait(&claim{need: amount{1, 1}, lane: h.c.lanes[0], refuse: func(int16) { answers++ }})
			h.c.makeRoom()
			if answers != 1 {
				t.Fatalf("%d answers", answers)
			}
		}
	})
}
