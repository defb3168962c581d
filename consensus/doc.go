// Package consensus is the node's part in the cluster's metadata: Raft shards
// (dragonboat, with its tan log store), the state machines of package machine in
// them, and the View that every other room reads.
//
// In: changes, as methods of Cluster, and those that other nodes made, through
// Raft. Out: immutable Views, and Groups. A method that changes something returns
// once the change is on a quorum's disks and the local View, or Group, shows it;
// where that is not known in time it returns meta.ErrUnavailable, and every method
// may be called again with the same arguments.
//
// Shard 0 has brokers, topics and producer ids; partition shards have partition
// records, objects and groups. What spans shards is a sequence of commands that
// anybody can carry on with; see topics.go for topics, machine.PrepareObject for
// objects, docs/decisions/0001-metadata-shards.md for why.
//
// State belongs to dragonboat's apply workers, one at a time for each shard.
// They hand what changed to a projection, which has the only lock that readers
// of a View and writers share, and readers of a View do not take it. Publishing
// takes all changes that wait at once: calls that end together share one View.
//
// A broker that starts gets a new incarnation in shard 0, and then a new leader
// epoch for all its partitions in every shard, before it recovers its WAL. A WAL
// that lost its tail thus never continues under the epoch of the lost records,
// and what the process before left under way is refused. It costs one command a
// shard and clients one refresh of their metadata.
//
// Every log is read at the start, over package raftfs so that nothing is changed,
// and compared with package guard, which has what was synced last. Shards whose logs
// are damaged or have lost something are offline: they are not started, what they
// have is not known, and the others are served. Without shard 0 Open fails.
//
// A disk that fails later closes Failed: calls end with meta.ErrUnavailable, and the
// process has to end. A committed command that does not decode stops the process: a
// replica must not go on with a state that the others do not have.
//
// Not here yet: further replicas.
package consensus
