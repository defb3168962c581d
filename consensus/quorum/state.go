package quorum

// State is the state of the Raft group that holds topics, brokers and configs.
type State struct {
	Led  bool   // there is a leader; on a node alone this one
	Term uint64 // of the leader
	Last uint64 // index of the last log entry; on a single node all are committed
}

// State returns the current state; there is no leader while the node starts or stops.
func (q *Quorum) State() State {
	_, term, known, err := q.host.GetLeaderID(raftShard(0))
	if err != nil || !known {
		return State{}
	}
	log, err := q.host.GetLogReader(raftShard(0))
	if err != nil {
		return State{}
	}
	_, last := log.GetRange()
	return State{Led: known, Term: term, Last: last}
}
