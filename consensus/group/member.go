package group

import (
	"bytes"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
)

// maxName limits a group id, in bytes. Kafka's only limit is that of a string on the wire, 32
// KiB.
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
	on := func(eff rebalance.Effect) { reply(joinResponse(eff.(rebalance.Joined))) }
	var serve task
	serve = func(l *lane) {
		e := l.groups[req.Group]
		if e == nil && j.MemberID != "" {
			refuse(kerr.UnknownMemberID.Code)
			return
		}
		g := l.machine(e, req.Group)
		need := needs(e, req.Group, copies*int64(g.JoinGrowth(&j)))
		switch {
		case e == nil && g.JoinGrowth(&j) == 0: // creates no group and evicts none
			j.To = 0
			on(g.Step(c.clock.Now(), j)[0])
			return
		case (e == nil || e.g.State() == rebalance.Empty) && c.hosts.crowded(host):
			c.metrics.refused.Inc()
			refuse(kerr.CoordinatorNotAvailable.Code)
			return
		case need.bytes > 0 && e.bytes()+need.bytes > c.cfg.share():
			c.metrics.refused.Inc()
			refuse(kerr.GroupMaxSizeReached.Code)
			return
		case !l.admit(e, need, refuse, serve):
			return
		case e == nil:
			e = l.insert(req.Group, g)
		}
		e.bornMs = c.clock.Now().UnixMilli()
		j.To = l.expect(waiter{on, refuse})
		l.step(e, j)
	}
	c.on(req.Group, refuse, serve)
}

// machine returns the state machine of e, or a new one if there is no group.
func (l *lane) machine(e *laneGroup, name string) *rebalance.Group {
	if e == nil {
		return rebalance.New(name, l.c.cfg.limits())
	}
	return e.g
}

// newJoin copies what a state machine keeps of the request.
func newJoin(clientID, host string, version int16, req *kmsg.JoinGroupRequest) rebalance.Join {
	j := rebalance.Join{MemberID: req.MemberID, InstanceID: req.InstanceID, ClientID: clientID, ClientHost: host,
		RequireID: version >= 4, CanSkip: version >= 9, ProtocolType: req.ProtocolType,
		Session: millis(req.SessionTimeoutMillis), Rebalance: millis(req.RebalanceTimeoutMillis)}
	if req.RebalanceTimeoutMillis < 0 { // version 0 does not have it
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
	var serve task
	serve = known(req.Group, refuse, func(l *lane, e *laneGroup) {
		if !l.admit(e, amount{bytes: copies * int64(e.g.SyncGrowth(&s))}, refuse, serve) {
			return
		}
		s.To = l.expect(waiter{func(eff rebalance.Effect) { reply(syncResponse(eff.(rebalance.Synced))) }, refuse})
		l.step(e, s)
	})
	c.on(req.Group, refuse, serve)
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
	c.on(req.Group, refuse, known(req.Group, refuse, func(l *lane, e *laneGroup) {
		to := l.expect(waiter{func(eff rebalance.Effect) { refuse(eff.(rebalance.Answer).Code) }, refuse})
		l.step(e, rebalance.Heartbeat{To: to, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation})
	}))
}

// leave serves LeaveGroup 0-5; up to version 2 it has one member.
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

// known calls f with the group, or refuses if it does not exist and so has no members.
func known(group string, refuse func(int16), f func(*lane, *laneGroup)) task {
	return func(l *lane) {
		e, ok := l.groups[group]
		if !ok {
			refuse(kerr.UnknownMemberID.Code)
			return
		}
		f(l, e)
	}
}

func allOf(code int16, n int) []int16 {
	codes := make([]int16, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }
