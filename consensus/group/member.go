package group

import (
	"bytes"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
)

// maxName bounds the name of a group, in bytes. Kafka has no bound but that of a
// string on the wire, 32 KiB.
const maxName = 1024

func validName(group string) bool { return group != "" && len(group) <= maxName }

// join serves JoinGroup 0-9.
func (c *Coordinator) join(clientID, host string, version int16, req *kmsg.JoinGroupRequest, reply func(kmsg.Response)) {
	refuse := func(code int16) {
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.ErrorCode, resp.Generation, resp.MemberID = code, -1, req.MemberID
		reply(resp)
	}
	if !validName(req.Group) {
		refuse(kerr.InvalidGroupID.Code)
		return
	}
	j := newJoin(clientID, host, version, req)
	c.on(req.Group, refuse, func(l *lane) {
		e, ok := l.groups[req.Group]
		switch {
		case !ok && j.MemberID != "":
			refuse(kerr.UnknownMemberID.Code)
			return
		case c.bytes.Load()+int64(joinSize(req)+len(clientID)) > c.cfg.MetadataBytes:
			c.metrics.refused.Inc()
			refuse(kerr.GroupMaxSizeReached.Code)
			return
		case !ok:
			if e = l.ensure(req.Group); e == nil {
				refuse(kerr.GroupMaxSizeReached.Code)
				return
			}
		}
		j.To = l.expect(waiter{func(eff rebalance.Effect) { reply(joinResponse(eff.(rebalance.Joined))) }, refuse})
		l.step(e, j)
	})
}

// newJoin copies what a machine keeps of the request.
func newJoin(clientID, host string, version int16, req *kmsg.JoinGroupRequest) rebalance.Join {
	j := rebalance.Join{MemberID: req.MemberID, InstanceID: req.InstanceID, ClientID: clientID, ClientHost: host,
		RequireID: version >= 4, CanSkip: version >= 9, ProtocolType: req.ProtocolType,
		Session: millis(req.SessionTimeoutMillis), Rebalance: millis(req.RebalanceTimeoutMillis)}
	if req.RebalanceTimeoutMillis < 0 { // version 0 has none
		j.Rebalance = j.Session
	}
	if j.MemberID == "" {
		j.NewID = clientID + "-" + uuid.NewString()
		if j.InstanceID != nil {
			j.NewID = *j.InstanceID + "-" + uuid.NewString()
		}
	}
	for _, p := range req.Protocols {
		j.Protocols = append(j.Protocols, rebalance.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	return j
}

func joinResponse(j rebalance.Joined) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.MemberID, resp.Generation = j.Code, j.MemberID, j.Generation
	if j.Code != 0 {
		resp.Generation = -1
		return resp
	}
	resp.ProtocolType, resp.Protocol, resp.LeaderID, resp.SkipAssignment = &j.ProtocolType, &j.Protocol, j.Leader, j.SkipAssignment
	for _, m := range j.Members {
		rm := kmsg.NewJoinGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ProtocolMetadata = m.ID, m.InstanceID, m.Metadata
		resp.Members = append(resp.Members, rm)
	}
	return resp
}

// sync serves SyncGroup 0-5.
func (c *Coordinator) sync(req *kmsg.SyncGroupRequest, reply func(kmsg.Response)) {
	refuse := func(code int16) {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = code
		reply(resp)
	}
	if !validName(req.Group) {
		refuse(kerr.InvalidGroupID.Code)
		return
	}
	s := rebalance.Sync{MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		ProtocolType: req.ProtocolType, Protocol: req.Protocol}
	for _, a := range req.GroupAssignment {
		s.Assignments = append(s.Assignments, rebalance.Assignment{MemberID: a.MemberID, Bytes: bytes.Clone(a.MemberAssignment)})
	}
	c.onKnown(req.Group, refuse, func(l *lane, e *entry) {
		s.To = l.expect(waiter{func(eff rebalance.Effect) { reply(syncResponse(eff.(rebalance.Synced))) }, refuse})
		l.step(e, s)
	})
}

func syncResponse(s rebalance.Synced) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = s.Code
	if s.Code == 0 {
		resp.ProtocolType, resp.Protocol, resp.MemberAssignment = &s.ProtocolType, &s.Protocol, s.Assignment
	}
	return resp
}

// heartbeat serves Heartbeat 0-4.
func (c *Coordinator) heartbeat(req *kmsg.HeartbeatRequest, reply func(kmsg.Response)) {
	refuse := func(code int16) {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = code
		reply(resp)
	}
	if !validName(req.Group) {
		refuse(kerr.InvalidGroupID.Code)
		return
	}
	c.onKnown(req.Group, refuse, func(l *lane, e *entry) {
		to := l.expect(waiter{func(eff rebalance.Effect) { refuse(eff.(rebalance.Answer).Code) }, refuse})
		l.step(e, rebalance.Heartbeat{To: to, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation})
	})
}

// leave serves LeaveGroup 0-5, up to 2 with one member.
func (c *Coordinator) leave(version int16, req *kmsg.LeaveGroupRequest, reply func(kmsg.Response)) {
	members := req.Members
	if version < 3 {
		members = []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
	}
	refuse := func(code int16) { reply(leaveResponse(version, members, rebalance.Left{Code: code})) }
	if !validName(req.Group) {
		refuse(kerr.InvalidGroupID.Code)
		return
	}
	ev := rebalance.Leave{Members: make([]rebalance.Leaver, len(members))}
	for i, m := range members {
		ev.Members[i] = rebalance.Leaver{MemberID: m.MemberID, InstanceID: m.InstanceID}
	}
	c.on(req.Group, refuse, func(l *lane) {
		e, ok := l.groups[req.Group]
		if !ok {
			reply(leaveResponse(version, members, rebalance.Left{Codes: allOf(kerr.UnknownMemberID.Code, len(members))}))
			return
		}
		ev.To = l.expect(waiter{func(eff rebalance.Effect) { reply(leaveResponse(version, members, eff.(rebalance.Left))) }, refuse})
		l.step(e, ev)
	})
}

func leaveResponse(version int16, members []kmsg.LeaveGroupRequestMember, left rebalance.Left) *kmsg.LeaveGroupResponse {
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.ErrorCode = left.Code
	for i, code := range left.Codes {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID, m.ErrorCode = members[i].MemberID, members[i].InstanceID, code
		resp.Members = append(resp.Members, m)
		if version < 3 {
			resp.ErrorCode = code
		}
	}
	return resp
}

// onKnown runs f on the lane with the group, or refuses when there is none: then
// nobody can be its member.
func (c *Coordinator) onKnown(group string, refuse func(int16), f func(*lane, *entry)) {
	c.on(group, refuse, func(l *lane) {
		e, ok := l.groups[group]
		if !ok {
			refuse(kerr.UnknownMemberID.Code)
			return
		}
		f(l, e)
	})
}

func allOf(code int16, n int) []int16 {
	codes := make([]int16, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

func joinSize(req *kmsg.JoinGroupRequest) int {
	n := 0
	for _, p := range req.Protocols {
		n += len(p.Name) + len(p.Metadata)
	}
	return n
}
