package consensus

// Quorum is the state of the Raft group that keeps topics, brokers and configs.
type Quorum struct {
	Led  bool   // there is a leader, which is this node: it is alone
	Term uint64 // the leader's
	Last uint64 // index of the last entry in the log; a lone node's are all committed
}

// Quorum returns the state now; nobody leads while the node starts or stops.
func (c *Cluster) Quorum() Quorum {
	leader, term, known, err := c.host.GetLeaderID(raftShard(0))
	if err != nil || !known {
		return Quorum{}
	}
	log, err := c.host.GetLogReader(raftShard(0))
	if err != nil {
		return Quorum{}
	}
	_, last := log.GetRange()
	return Quorum{Led: leader == replicaID, Term: term, Last: last}
}
