package meta

// Broker is one registered broker.
type Broker struct {
	ID          int32
	Incarnation uint64 // grows at every process start
	// Process is the process that registered last: it gets the same incarnation however often it
	// asks.
	Process [16]byte
	// Session is the number of the process's session: it grows each time one ends.
	Session  uint64
	Host     string // advertised to clients
	Port     int32
	Rack     string
	Internal string // host:port for other brokers
	// Fenced: it has no session, or is not ready yet. It neither leads nor joins an ISR.
	Fenced bool
	// Draining: its process is about to stop and takes no more leadership.
	Draining bool
	// Decommissioned: an operator is removing it, so it gets no new replicas. Unlike the two
	// above this outlasts restarts.
	Decommissioned bool
}

// Session is what a metadata shard knows of a broker.
type Session struct {
	Incarnation uint64 // the current one
	Number      uint64 // of the session: there is none with a lower number any more
	Live        bool   // it may lead and join ISRs
	Draining    bool   // it takes no more leadership
}

// Sessions are the brokers as known to one metadata shard. They are never modified after
// publication.
type Sessions map[int32]Session

// Live returns the current incarnation of a broker, and whether it may lead and join ISRs.
func (s Sessions) Live(broker int32) (incarnation uint64, ok bool) {
	x := s[broker]
	return x.Incarnation, x.Live
}

// NoBroker is the holder of a lease that nobody has.
const NoBroker int32 = -1

// Coordinator is the lease on the groups of a metadata shard.
type Coordinator struct {
	Broker int32 // the holder, or NoBroker
	Epoch  int32 // incremented by each acquisition
}

// Throttle is how far a broker is from its limits, for placement and clients.
type Throttle struct {
	Broker        int32
	WALPermille   int32 // how full its WAL is
	UploadLagMs   int64 // age of the oldest record that is not in objects yet
	FollowerLagMs int64 // of the follower that is furthest behind
	AtMs          int64 // when it was measured, ms since epoch
}

// Controller is where one controller is reached.
type Controller struct {
	ID   int32
	Feed string // host:port of the metadata feed
	Raft string // host:port of its Raft replicas
}
