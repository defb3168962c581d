package group

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
)

// groupType is the type of all groups here; KIP-848 adds "consumer".
const groupType = "classic"

// groupOperations are the authorized operations on a group, as a bit field of Kafka's ACL
// operations: read, delete, describe, describe configs, alter configs.
const groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

// distinct returns the names without duplicates, in order. A small request that repeats one
// group a thousand times must not be expensive.
func distinct(names []string) []string {
	seen := make(map[string]struct{}, len(names))
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		_, twice := seen[n]
		seen[n] = struct{}{}
		return twice
	})
}

// gather calls done once n parts have reported.
type gather struct {
	left atomic.Int64
	done func()
}

func newGather(n int, done func()) *gather {
	g := &gather{done: done}
	g.left.Store(int64(n))
	if n == 0 {
		done()
	}
	return g
}

func (g *gather) part() {
	if g.left.Add(-1) == 0 {
		g.done()
	}
}

// describe serves DescribeGroups 0-6.
func (c *Coordinator) describe(version int16, req *kmsg.DescribeGroupsRequest, reply func(kmsg.Response)) {
	names := distinct(req.Groups)
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(names))
	all := newGather(len(names), func() { reply(resp) })
	for i, name := range names {
		d := &resp.Groups[i]
		*d = kmsg.NewDescribeGroupsResponseGroup()
		d.Group = name
		if req.IncludeAuthorizedOperations {
			d.AuthorizedOperations = groupOperations
		}
		refuse := func(code int16) {
			d.ErrorCode = code
			all.part()
		}
		c.on(name, refuse, func(l *lane) {
			if e, ok := l.groups[name]; ok {
				fillDescription(d, e.g.Describe())
			} else {
				d.State = rebalance.Dead.String()
				if version >= 6 { // KIP-1043
					d.AuthorizedOperations = math.MinInt32 // of a group that does not exist
					text := fmt.Sprintf("Group %s not found.", name)
					d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, &text
				}
			}
			all.part()
		})
	}
}

func fillDescription(d *kmsg.DescribeGroupsResponseGroup, g rebalance.Description) {
	d.State, d.ProtocolType, d.Protocol = g.State.String(), g.ProtocolType, g.Protocol
	for _, m := range g.Members {
		rm := kmsg.NewDescribeGroupsResponseGroupMember()
		rm.MemberID, rm.InstanceID, rm.ClientID, rm.ClientHost = m.ID, m.InstanceID, m.ClientID, m.ClientHost
		rm.ProtocolMetadata, rm.MemberAssignment = m.Metadata, m.Assignment
		d.Members = append(d.Members, rm)
	}
}

// list serves ListGroups 0-5. Filters are case-insensitive.
func (c *Coordinator) list(req *kmsg.ListGroupsRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrListGroupsResponse()
	parts := make([][]kmsg.ListGroupsResponseGroup, len(c.lanes))
	var refused atomic.Bool
	all := newGather(len(c.lanes), func() {
		if refused.Load() {
			resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		} else {
			resp.Groups = slices.Concat(parts...)
			slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return cmp.Compare(a.Group, b.Group) })
		}
		reply(resp)
	})
	for i, l := range c.lanes {
		ok := c.post(l, func(l *lane) {
			parts[i] = l.list(req)
			all.part()
		})
		if !ok {
			refused.Store(true)
			all.part()
		}
	}
}

func (l *lane) list(req *kmsg.ListGroupsRequest) []kmsg.ListGroupsResponseGroup {
	wanted := func(filter []string, what string) bool {
		return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, what) })
	}
	if !wanted(req.TypesFilter, groupType) {
		return nil
	}
	var groups []kmsg.ListGroupsResponseGroup
	for name, e := range l.groups {
		if state := e.g.State().String(); wanted(req.StatesFilter, state) {
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType, g.GroupState, g.GroupType = name, e.g.ProtocolType(), state, groupType
			groups = append(groups, g)
		}
	}
	return groups
}

// deleteGroups serves DeleteGroups 0-3.
func (c *Coordinator) deleteGroups(req *kmsg.DeleteGroupsRequest, reply func(kmsg.Response)) {
	names := distinct(req.Groups)
	resp := kmsg.NewPtrDeleteGroupsResponse()
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(names))
	all := newGather(len(names), func() { reply(resp) })
	for i, name := range names {
		d := &resp.Groups[i]
		*d = kmsg.NewDeleteGroupsResponseGroup()
		d.Group = name
		finish := func(code int16) {
			d.ErrorCode = code
			all.part()
		}
		c.on(name, finish, func(l *lane) {
			e, ok := l.groups[name]
			if !ok {
				finish(kerr.GroupIDNotFound.Code)
				return
			}
			on := func(eff rebalance.Effect) { finish(eff.(rebalance.Answer).Code) }
			l.step(e, rebalance.Delete{To: l.expect(waiter{on, finish})})
		})
	}
}
