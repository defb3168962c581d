package rebalance

// Member is one member in DescribeGroups.
type Member struct {
	ID, ClientID, ClientHost string
	InstanceID               *string
	Metadata, Assignment     []byte
}

// Description is a group in DescribeGroups.
type Description struct {
	State                  State
	ProtocolType, Protocol string
	Members                []Member
}

// Describe returns the members. Their subscriptions are only known in a stable group; their
// assignments are those until the next rebalance.
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

// Subscriptions returns the metadata that members sent to the leader; nil without members.
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
