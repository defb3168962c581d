package rebalance

// Member describes one member to DescribeGroups.
type Member struct {
	ID, ClientID, ClientHost string
	InstanceID               *string
	Metadata, Assignment     []byte
}

// Description is what DescribeGroups shows of a group.
type Description struct {
	State                  State
	ProtocolType, Protocol string
	Members                []Member
}

// Describe returns the members. What they subscribe to is only known in a stable group;
// what they were assigned they have until the next assignment.
func (g *Group) Describe() Description {
	d := Description{State: g.state, ProtocolType: g.protocolType}
	stable := g.state == Stable
	if stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members {
		o := Member{ID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost, Assignment: m.assignment}
		if stable {
			o.Metadata = m.metadata(g.protocol)
		}
		d.Members = append(d.Members, o)
	}
	return d
}

// Subscriptions returns what the members told the leader. It is nil where there
// are no members.
func (g *Group) Subscriptions() [][]byte {
	var all [][]byte
	for _, m := range g.members {
		meta := m.metadata(g.protocol)
		if g.protocol == "" && len(m.protocols) > 0 {
			meta = m.protocols[0].Metadata
		}
		all = append(all, meta)
	}
	return all
}
