package group

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// texts returns offsets of the first n partitions with size bytes of metadata each.
func texts(n, size int) []at {
	all := make([]at, n)
	for i := range all {
		all[i] = at{"orders", int32(i), 1, strings.Repeat("x", size)}
	}
	return all
}

func TestOffsetsAndTheirTextsAreWithinTheMemoryOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.GroupBytes, cfg.MetadataBytes = 4<<10, 64<<10
		h := start(t, newStore(newTopic("orders", 100)), cfg)
		for i := range 50 {
			if got := codes(t, h.send(9, commitRequest(fmt.Sprintf("g%02d", i), "", -1, texts(2, 4000)...))); got[0] != 0 {
				t.Fatalf("commit of group %d: %v", i, kerr.ErrorForCode(got[0]))
			}
			if used := h.used(); used.bytes > cfg.MetadataBytes {
				t.Fatalf("usage is %+v", used)
			}
			time.Sleep(time.Second)
		}
		if got := h.names(); got != "g44 g45 g46 g47 g48 g49" { // 10.2 kB each
			t.Errorf("groups %s", got)
		}
		// One group gets its share and no more. It may change what it has.
		if got := codes(t, h.send(9, commitRequest("big", "", -1, texts(8, 4000)...))); got[0] != kerr.InvalidCommitOffsetSize.Code {
			t.Errorf("commit of more than the share: %v", got)
		}
		if got := codes(t, h.send(9, commitRequest("big", "", -1, texts(7, 4000)...))); got[0] != 0 {
			t.Errorf("commit of exactly the share: %v", got)
		}
		if got := codes(t, h.send(9, commitRequest("big", "", -1, at{"orders", 7, 1, strings.Repeat("x", 4000)}))); got[0] != kerr.InvalidCommitOffsetSize.Code {
			t.Errorf("commit beyond the share: %v", got)
		}
		if got := codes(t, h.send(9, commitRequest("big", "", -1, texts(7, 4000)...))); got[0] != 0 {
			t.Errorf("the same commit again: %v", got)
		}
		if got := codes(t, h.send(9, commitRequest("big", "", -1, texts(7, 10)...))); got[0] != 0 {
			t.Errorf("a smaller commit: %v", got)
		}
		h.audit()
		h.restart()
		h.audit()
	})
}

// Nothing is evicted for a request that would not fit even then, nor more than needed for those
// behind it.
func TestNothingIsRemovedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.GroupBytes, cfg.MetadataBytes = 12<<10, 64<<10
		h := start(t, newStore(newTopic("orders", 100)), cfg)
		for i := range 2 {
			m := &consumer{h: h, group: fmt.Sprint("g", i), version: 3}
			m.joined(m.join(strings.Repeat("x", 10_000)))
		}
		for i := range 3 { // about 19 kB are left
			h.commitTo(fmt.Sprint("old", i), 1)
			time.Sleep(time.Second)
		}
		large := &consumer{h: h, group: "large", version: 3}
		joins := large.join(strings.Repeat("x", 10_000))
		small := h.send(9, commitRequest("small", "", -1, texts(2, 4000)...))
		if got := answer[*kmsg.JoinGroupResponse](t, joins); got.ErrorCode != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("join: %v", kerr.ErrorForCode(got.ErrorCode))
		}
		if got := codes(t, small); got[0] != 0 || h.names() != "g0 g1 old0 old1 old2 small" {
			t.Errorf("codes %v, groups %s", got, h.names())
		}
		h.audit()
	})
}

// A group that comes back when the memory is full does not evict itself.
func TestAGroupThatReturnsKeepsItsOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.GroupBytes, cfg.MetadataBytes = 4<<10, 64<<10
		h := start(t, newStore(newTopic("orders", 100)), cfg)
		for i := range 6 {
			h.send(9, commitRequest(fmt.Sprintf("g%d", i), "", -1, texts(2, 4000)...)).answers()
			time.Sleep(time.Second)
		}
		m := h.consumer("g0")
		m.version = 3
		m.joined(m.join(strings.Repeat("x", 2000)))
		m.synced(m.sync())
		if got := h.names(); got != "g0 g2 g3 g4 g5" || h.offset("g0", "orders", 1) != 1 {
			t.Errorf("groups %s, offset %d", got, h.offset("g0", "orders", 1))
		}
		h.audit()
	})
}

// An assignment needs memory too. If there is none, the client gets a retriable error.
func TestAssignmentsAreWithinTheMemoryOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.GroupBytes, cfg.MetadataBytes = 12<<10, 64<<10
		h := start(t, newStore(newTopic("orders", 100)), cfg)
		h.send(9, commitRequest("old", "", -1, texts(5, 4000)...)).answers()
		time.Sleep(time.Second)
		var ms []*consumer
		sync := func(m *consumer) *kmsg.SyncGroupResponse {
			req := kmsg.NewPtrSyncGroupRequest()
			req.Group, req.MemberID, req.Generation = m.group, m.id, m.generation
			req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.id, MemberAssignment: make([]byte, 10_000)})
			return answer[*kmsg.SyncGroupResponse](t, h.send(5, syncProtocol(req)))
		}
		for i := range 3 {
			m := h.consumer(fmt.Sprint("g", i))
			m.joined(m.join("orders"))
			ms = append(ms, m)
			code := sync(m).ErrorCode
			if want := i == 2; want != (code == kerr.CoordinatorNotAvailable.Code) || !want && code != 0 {
				t.Errorf("sync %d: %v", i, kerr.ErrorForCode(code))
			}
			if used := h.used(); used.bytes > cfg.MetadataBytes {
				t.Errorf("usage is %+v", used)
			}
		}
		if got := h.names(); got != "g0 g1 g2" {
			t.Errorf("groups %s", got)
		}
		ms[0].leave()
		if got := sync(ms[2]); got.ErrorCode != 0 || len(got.MemberAssignment) != 10_000 {
			t.Errorf("sync when there is memory again: %v", kerr.ErrorForCode(got.ErrorCode))
		}
		h.audit()
	})
}

// The number of offsets is the same counted or calculated, even if a topic is deleted in
// between.
func TestOffsetsOfDeletedTopicsAreNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders, bills := newTopic("orders", 5), newTopic("bills", 5)
		s := newStore(orders, bills)
		h := start(t, s, devConfig())
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, "x"}, at{"bills", 0, 1, "yy"}, at{"bills", 1, 1, "yy"})))
		h.audit()
		var gone []topic.Partition
		for i := range int32(5) {
			gone = append(gone, topic.Partition{Topic: bills.ID, Index: i})
		}
		s.mu.Lock()
		s.apply("g", meta.GroupChange{Clear: gone})
		s.mu.Unlock()
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 1, 1, "zzz"})))
		h.audit()
		s.mu.Lock()
		s.apply("g", meta.GroupChange{Clear: []topic.Partition{{Topic: orders.ID}}})
		s.mu.Unlock()
		time.Sleep(h.cfg.OffsetsCheckInterval + time.Second)
		h.audit()
	})
}
