package group

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumer is the client side of one membership.
type consumer struct {
	h          *harness
	group      string
	id         string
	instance   *string
	version    int16 // of JoinGroup
	generation int32
	leader     bool
	members    []kmsg.JoinGroupResponseMember
}

func (m *consumer) joinRequest(topics ...string) *kmsg.JoinGroupRequest {
	sub := kmsg.NewConsumerMemberMetadata()
	sub.Topics = topics
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID = m.group, m.id, m.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 30_000
	req.ProtocolType = "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", sub.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	return req
}

// join joins, twice if it has to come back with the id it was given.
func (m *consumer) join(topics ...string) *call {
	m.h.t.Helper()
	c := m.h.send(m.version, m.joinRequest(topics...))
	if m.version >= 4 && m.instance == nil && m.id == "" {
		resp := answer[*kmsg.JoinGroupResponse](m.h.t, c)
		if resp.ErrorCode != kerr.MemberIDRequired.Code || resp.MemberID == "" {
			m.h.t.Fatalf("join %+v", resp)
		}
		m.id = resp.MemberID
		c = m.h.send(m.version, m.joinRequest(topics...))
	}
	return c
}

func (m *consumer) joined(c *call) *kmsg.JoinGroupResponse {
	m.h.t.Helper()
	resp := answer[*kmsg.JoinGroupResponse](m.h.t, c)
	if resp.ErrorCode != 0 {
		m.h.t.Fatalf("join: %v", kerr.ErrorForCode(resp.ErrorCode))
	}
	m.id, m.generation, m.leader, m.members = resp.MemberID, resp.Generation, resp.LeaderID == resp.MemberID, resp.Members
	return resp
}

func (m *consumer) sync() *call {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.generation
	if m.leader {
		for _, o := range m.members {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID, a.MemberAssignment = o.MemberID, []byte("for "+o.MemberID)
			req.GroupAssignment = append(req.GroupAssignment, a)
		}
	}
	return m.h.send(5, syncProtocol(req))
}

func syncProtocol(req *kmsg.SyncGroupRequest) *kmsg.SyncGroupRequest {
	typ, name := "consumer", "range"
	req.ProtocolType, req.Protocol = &typ, &name
	return req
}

func (m *consumer) synced(c *call) {
	m.h.t.Helper()
	resp := answer[*kmsg.SyncGroupResponse](m.h.t, c)
	if resp.ErrorCode != 0 || string(resp.MemberAssignment) != "for "+m.id {
		m.h.t.Fatalf("sync: %v, %q", kerr.ErrorForCode(resp.ErrorCode), resp.MemberAssignment)
	}
}

func (m *consumer) heartbeat() int16 {
	m.h.t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.generation
	return answer[*kmsg.HeartbeatResponse](m.h.t, m.h.send(4, req)).ErrorCode
}

func (h *harness) consumer(group string) *consumer {
	return &consumer{h: h, group: group, version: 9, generation: -1}
}

// stabilize makes the consumers form a stable group.
func stabilize(ms ...*consumer) {
	calls := make([]*call, len(ms))
	for i, m := range ms {
		calls[i] = m.join("orders")
	}
	for i, m := range ms {
		m.joined(calls[i])
	}
	for i, m := range ms {
		calls[i] = m.sync()
	}
	for i, m := range ms {
		m.synced(calls[i])
	}
}

func TestGroupGoesOnAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), DefaultConfig())
		a, b := h.consumer("g"), h.consumer("g")
		stabilize(a, b)
		if a.leader == b.leader || a.generation != 1 || b.generation != 1 {
			t.Fatalf("a %+v b %+v", a, b)
		}
		h.restart()
		if code := a.heartbeat(); code != 0 {
			t.Errorf("heartbeat after a restart: %v", kerr.ErrorForCode(code))
		}
		time.Sleep(9 * time.Second)
		if code := a.heartbeat(); code != 0 {
			t.Errorf("heartbeat of a member in time: %v", kerr.ErrorForCode(code))
		}
		time.Sleep(2 * time.Second) // b's session started at the restart
		if code := a.heartbeat(); code != kerr.RebalanceInProgress.Code {
			t.Errorf("heartbeat after b was lost: %v", kerr.ErrorForCode(code))
		}
		a.joined(a.join("orders"))
		if a.generation != 2 || !a.leader || len(a.members) != 1 {
			t.Errorf("after b was lost: %+v", a)
		}
	})
}
