package consensus

// Quorum is the state of the Raft group that holds topics, brokers and configs.
type Quorum struct {
	Led  bool   // there is a leader: this node, which is the only one
	Term uint64 // of the leader
	Last uint64 // index of the last log entry; on a single node all are committed
}

// Quorum returns the current state; there is no leader while the node starts or stops.
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
