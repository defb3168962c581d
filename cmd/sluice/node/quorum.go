package node

import "github.com/sluicemq/sluice/ingress/kafka"

// quorum describes the metadata quorum to clients: this broker is its only node.
func (n *node) quorum() kafka.Quorum {
	q := n.cluster.Quorum()
	if !q.Led {
		return kafka.Quorum{Leader: -1}
	}
	end := int64(q.Last) + 1
	return kafka.Quorum{Leader: n.cfg.Settings.Broker.ID, Epoch: int32(q.Term), Committed: end, Voters: []kafka.Voter{{Node: n.cfg.Settings.Broker.ID, End: end}}}
}
