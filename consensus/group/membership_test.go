package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestEveryVersionOfJoinSyncHeartbeatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		for v := int16(0); v <= 9; v++ {
			m := &consumer{h: h, group: fmt.Sprintf("g%d", v), version: v, generation: -1}
			join := m.joined(m.join("orders"))
			if !strings.HasPrefix(m.id, "client-") || m.generation != 1 || !m.leader || len(m.members) != 1 || *join.Protocol != "range" {
				t.Errorf("join v%d: %+v", v, join)
			}
			if v >= 7 && (join.ProtocolType == nil || *join.ProtocolType != "consumer") {
				t.Errorf("join v%d: no protocol type", v)
			}
			sync := kmsg.NewPtrSyncGroupRequest()
			sync.Group, sync.MemberID, sync.Generation = m.group, m.id, m.generation
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID, a.MemberAssignment = m.id, []byte("all")
			sync.GroupAssignment = append(sync.GroupAssignment, a)
			sv := min(v, 5)
			got := answer[*kmsg.SyncGroupResponse](t, h.send(sv, syncProtocol(sync)))
			if got.ErrorCode != 0 || string(got.MemberAssignment) != "all" || sv == 5 && (*got.Protocol != "range" || *got.ProtocolType != "consumer") {
				t.Errorf("sync v%d: %+v", sv, got)
			}
			beat := kmsg.NewPtrHeartbeatRequest()
			beat.Group, beat.MemberID, beat.Generation = m.group, m.id, m.generation
			if got := answer[*kmsg.HeartbeatResponse](t, h.send(min(v, 4), beat)); got.ErrorCode != 0 {
				t.Errorf("heartbeat v%d: %+v", min(v, 4), got)
			}
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group, leave.MemberID = m.group, m.id
			for _, id := range []string{m.id, "stranger"} {
				lm := kmsg.NewLeaveGroupRequestMember()
				lm.MemberID = id
				leave.Members = append(leave.Members, lm)
			}
			left := answer[*kmsg.LeaveGroupResponse](t, h.send(min(v, 5), leave))
			if left.ErrorCode != 0 || v >= 3 && (len(left.Members) != 2 || left.Members[0].ErrorCode != 0 ||
				left.Members[1].ErrorCode != kerr.UnknownMemberID.Code || left.Members[1].MemberID != "stranger") {
				t.Errorf("leave v%d: %+v", min(v, 5), left)
			}
			again := answer[*kmsg.LeaveGroupResponse](t, h.send(min(v, 5), leave))
			if v < 3 && again.ErrorCode != kerr.UnknownMemberID.Code || v >= 3 && again.Members[0].ErrorCode != kerr.UnknownMemberID.Code {
				t.Errorf("leave twice v%d: %+v", min(v, 5), again)
			}
		}
	})
}

func TestRefusedMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		for name, want := range map[string]*kerr.Error{"": kerr.InvalidGroupID, strings.Repeat("g", maxName+1): kerr.InvalidGroupID, "nobody": kerr.UnknownMemberID} {
			m := h.consumer(name)
			m.id = "stranger"
			join := answer[*kmsg.JoinGroupResponse](t, h.send(9, m.joinRequest("orders")))
			if join.ErrorCode != want.Code || join.MemberID != "stranger" || join.Generation != -1 || join.Protocol != nil || len(join.Members) != 0 {
				t.Errorf("join of group %.9q: %+v", name, join)
			}
			if got := answer[*kmsg.SyncGroupResponse](t, m.sync()); got.ErrorCode != want.Code || len(got.MemberAssignment) != 0 {
				t.Errorf("sync in group %.9q: %+v", name, got)
			}
			if got := m.heartbeat(); got != want.Code {
				t.Errorf("heartbeat in group %.9q: %d", name, got)
			}
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group = name
			leave.Members = append(leave.Members, kmsg.LeaveGroupRequestMember{MemberID: "stranger"})
			got := answer[*kmsg.LeaveGroupResponse](t, h.send(5, leave))
			if want == kerr.InvalidGroupID && got.ErrorCode != want.Code || want == kerr.UnknownMemberID && got.Members[0].ErrorCode != want.Code {
				t.Errorf("leave of group %.9q: %+v", name, got)
			}
		}
		m := h.consumer("g")
		req := m.joinRequest("orders")
		req.SessionTimeoutMillis = 1
		if got := answer[*kmsg.JoinGroupResponse](t, h.send(9, req)); got.ErrorCode != kerr.InvalidSessionTimeout.Code {
			t.Errorf("join: %+v", got)
		}
		if n := h.used().groups; n != 0 {
			t.Errorf("refused requests created %d groups", n)
		}
	})
}

func TestInitialDelayGathersMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), DefaultConfig())
		ms := []*consumer{h.consumer("g"), h.consumer("g"), h.consumer("g")}
		var calls []*call
		for _, m := range ms {
			calls = append(calls, m.join("orders"))
			time.Sleep(2 * time.Second)
		}
		for i, m := range ms {
			m.joined(calls[i])
			if m.generation != 1 || m.leader != (i == 0) || m.leader && len(m.members) != 3 {
				t.Errorf("member %d: %+v", i, m)
			}
		}
	})
}

func TestStaticMemberReturnsAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		h := start(t, s, devConfig())
		one := "one"
		m := h.consumer("g")
		m.instance = &one
		stabilize(m)
		if !strings.HasPrefix(m.id, "one-") {
			t.Errorf("id %s", m.id)
		}
		h.restart()
		old := m.id
		again := h.consumer("g")
		again.instance = &one
		s.setDelay(time.Second)
		c := again.join("orders")
		time.Sleep(500 * time.Millisecond)
		if len(c.answers()) > 0 {
			t.Error("answered before its new id was durable")
		}
		resp := again.joined(c)
		if !resp.SkipAssignment || again.generation != 1 || !again.leader || again.id == old {
			t.Errorf("join %+v", resp)
		}
		got := answer[*kmsg.SyncGroupResponse](t, again.sync())
		if got.ErrorCode != 0 || string(got.MemberAssignment) != "for "+old {
			t.Errorf("sync %+v", got)
		}
		if code := m.heartbeat(); code != kerr.FencedInstanceID.Code {
			t.Errorf("the replaced member: %v", kerr.ErrorForCode(code))
		}
	})
}

func TestAssignmentThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		h := start(t, s, devConfig())
		m := h.consumer("g")
		m.joined(m.join("orders"))
		s.setFailure(errors.New("no quorum"))
		if got := answer[*kmsg.SyncGroupResponse](t, m.sync()); got.ErrorCode != kerr.CoordinatorNotAvailable.Code {
			t.Fatalf("sync %+v", got)
		}
		s.setFailure(nil)
		m.joined(m.join("orders"))
		m.synced(m.sync())
		if m.generation != 2 {
			t.Errorf("generation %d", m.generation)
		}
	})
}

func TestWhatIsKeptIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		m := h.consumer("g")
		req := m.joinRequest("orders")
		want := bytes.Clone(req.Protocols[0].Metadata)
		var joined *kmsg.JoinGroupResponse
		h.c.Serve(context.Background(), "client", "/h", 3, req, func(r kmsg.Response) { joined = r.(*kmsg.JoinGroupResponse) })
		synctest.Wait()
		clear(req.Protocols[0].Metadata) // simulates reuse of the frame
		if !bytes.Equal(joined.Members[0].ProtocolMetadata, want) {
			t.Error("metadata was not copied")
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.MemberID, sync.Generation = "g", joined.MemberID, 1
		frame := []byte("assignment")
		sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: joined.MemberID, MemberAssignment: frame})
		var synced *kmsg.SyncGroupResponse
		h.c.Serve(context.Background(), "client", "/h", 3, sync, func(r kmsg.Response) { synced = r.(*kmsg.SyncGroupResponse) })
		synctest.Wait()
		clear(frame)
		time.Sleep(time.Second)
		synctest.Wait()
		if string(synced.MemberAssignment) != "assignment" {
			t.Errorf("assignment %q was not copied", synced.MemberAssignment)
		}
	})
}

func TestCloseAnswersWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		s.setDelay(time.Second)
		h := start(t, s, DefaultConfig())
		m := h.consumer("g")
		waits := m.join("orders")
		commit := h.send(9, commitRequest("simple", "", -1, at{"orders", 0, 1, ""}))
		if len(waits.answers())+len(commit.answers()) > 0 {
			t.Fatal("both must wait")
		}
		h.c.Close()
		if got := answer[*kmsg.JoinGroupResponse](t, waits); got.ErrorCode != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("join %+v", got)
		}
		if got := codes(t, commit); got[0] != 0 {
			t.Errorf("a commit that was being written: %v", got)
		}
		h.c.Close() // a second Close does nothing
		for v, req := range map[int16]kmsg.Request{9: m.joinRequest("orders"), 4: &kmsg.HeartbeatRequest{Group: "g"}, 5: kmsg.NewPtrListGroupsRequest()} {
			if got := h.send(v, req).answers(); len(got) != 1 || errorCode(got[0]) != kerr.CoordinatorNotAvailable.Code {
				t.Errorf("%T after Close: %+v", req, got)
			}
		}
	})
}

func errorCode(r kmsg.Response) int16 {
	switch r := r.(type) {
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	case *kmsg.HeartbeatResponse:
		return r.ErrorCode
	case *kmsg.ListGroupsResponse:
		return r.ErrorCode
	}
	return -1
}
