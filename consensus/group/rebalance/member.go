package rebalance

import (
	"bytes"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// member is one member of a group.
type member struct {
	id                   string
	instance             *string
	clientID, clientHost string
	session, rebalance   time.Duration
	protocols            []Protocol
	assignment           []byte
	bytes                int

	expires time.Time
	// isNew means that the member does not know its id yet and cannot send heartbeats.
	isNew bool
	// unsynced means that it knows the generation and has not asked for its assignment.
	unsynced   bool
	canSkip    bool
	join, sync Ticket // pending requests
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// offers reports whether the member offers exactly these protocols.
func (m *member) offers(ps []Protocol) bool {
	return slices.EqualFunc(m.protocols, ps, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// perMember and perProtocol approximate the size of the structs, without their bytes.
const (
	perMember   = 256
	perProtocol = 64
)

func (m *member) size() int {
	n := perMember + len(m.id) + len(m.clientID) + len(m.clientHost) + len(m.assignment)
	if m.instance != nil {
		n += len(*m.instance)
	}
	return n + sizeOf(m.protocols)
}

func sizeOf(ps []Protocol) int {
	n := 0
	for _, p := range ps {
		n += perProtocol + len(p.Name) + len(p.Metadata)
	}
	return n
}

// recount updates g.bytes after a change of m.
func (g *Group) recount(m *member) {
	n := m.size()
	g.bytes += n - m.bytes
	m.bytes = n
}

func (g *Group) count(m *member, by int) {
	for i, p := range m.protocols {
		if !slices.ContainsFunc(m.protocols[:i], func(q Protocol) bool { return q.Name == p.Name }) {
			if g.supports[p.Name] += by; g.supports[p.Name] == 0 {
				delete(g.supports, p.Name)
			}
		}
	}
}

func (g *Group) insert(m *member) {
	if len(g.members) == 0 && g.leader == "" {
		g.leader = m.id
	}
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.instance != nil {
		g.static[*m.instance] = m
	}
	g.count(m, 1)
	g.recount(m)
}

// remove removes m and answers its pending requests.
func (g *Group) remove(m *member) {
	g.refuseWaiting(m, kerr.UnknownMemberID.Code)
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	delete(g.byID, m.id)
	if m.instance != nil && g.static[*m.instance] == m {
		delete(g.static, *m.instance)
	}
	g.count(m, -1)
	g.bytes -= m.bytes
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

// refuseWaiting answers the pending requests of m with code.
func (g *Group) refuseWaiting(m *member, code int16) {
	if m.join != 0 {
		g.emit(Joined{To: m.join, Code: code, MemberID: m.id})
		m.join = 0
		g.awaiting--
	}
	if m.sync != 0 {
		g.emit(Synced{To: m.sync, Code: code})
		m.sync = 0
	}
}

// awaitJoin makes m wait for the next generation.
func (g *Group) awaitJoin(m *member, to Ticket) {
	g.refuseWaiting(m, kerr.RebalanceInProgress.Code)
	m.join = to
	g.awaiting++
}

// current looks up a member by the ids in a request, or returns an error code.
func (g *Group) current(id string, instance *string) (*member, int16) {
	if instance != nil {
		switch m, ok := g.static[*instance]; {
		case !ok:
			return nil, kerr.UnknownMemberID.Code
		case m.id != id:
			return nil, kerr.FencedInstanceID.Code
		default:
			return m, 0
		}
	}
	if m, ok := g.byID[id]; ok {
		return m, 0
	}
	return nil, kerr.UnknownMemberID.Code
}

// common reports whether all members offer the protocol.
func (g *Group) common(protocol string) bool { return g.supports[protocol] == len(g.members) }

// compatible reports whether a member with that type and these protocols is compatible.
func (g *Group) compatible(protocolType string, ps []Protocol) bool {
	if protocolType == "" || len(ps) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	return protocolType == g.protocolType && slices.ContainsFunc(ps, func(p Protocol) bool { return g.common(p.Name) })
}

// elect returns, of the protocols that all members offer, the one that most members prefer. The
// first to reach the highest number of votes wins.
func (g *Group) elect() string {
	votes, best := make(map[string]int), ""
	for _, m := range g.members {
		for _, p := range m.protocols {
			if g.common(p.Name) {
				votes[p.Name]++
				if best == "" || votes[p.Name] > votes[best] {
					best = p.Name
				}
				break
			}
		}
	}
	return best
}

// longestRebalance returns the longest rebalance timeout of all members.
func (g *Group) longestRebalance() time.Duration {
	var d time.Duration
	for _, m := range g.members {
		d = max(d, m.rebalance)
	}
	return d
}

// addPending keeps an id for a client that is expected to come back with it.
func (g *Group) addPending(id string, until time.Time) {
	g.dropPending(id)
	for len(g.pending) >= g.limits.Members {
		g.dropOldestPending()
	}
	g.pending[id] = until
	g.bytes += perMember + len(id)
	g.pendingBytes += perMember + len(id)
	g.wakeAt(until)
}

// trimPending enforces the limit on bytes by dropping pending ids. A client that comes back with one
// gets UNKNOWN_MEMBER_ID and asks for another.
func (g *Group) trimPending() {
	for len(g.pending) > 0 && g.bytes > g.limits.Bytes {
		g.dropOldestPending()
	}
}

// dropOldestPending drops the pending id that would end first.
func (g *Group) dropOldestPending() {
	oldest := ""
	for id, until := range g.pending {
		if was := g.pending[oldest]; oldest == "" || until.Before(was) || until.Equal(was) && id < oldest {
			oldest = id
		}
	}
	g.dropPending(oldest)
}

// dropPending drops a pending id, and reports whether it existed.
func (g *Group) dropPending(id string) bool {
	_, ok := g.pending[id]
	if ok {
		delete(g.pending, id)
		g.bytes -= perMember + len(id)
		g.pendingBytes -= perMember + len(id)
	}
	return ok
}
