// Package consensus is a broker's access to the cluster's metadata: copies of the Raft shards that
// controllers host, changes of them, and the View that all other packages read.
//
// In: changes, as methods of Cluster, and through Raft those made by other nodes. Out:
// immutable Views, and Groups. A method that changes something returns once the change is on a
// quorum's disks and visible in the local View, or Group. If that is not known in time it
// returns meta.ErrUnavailable; every method may then be repeated with the same arguments.
//
// Shard 0 holds brokers, topics and producer ids; partition shards hold partition records,
// objects and groups. Changes that span shards are sequences of idempotent commands that any
// node can complete; see topics.go for topics, machine.PrepareObject for objects, and
// docs/decisions/0001-metadata-shards.md for the reasons.
//
// This node has a copy of each shard's state, which follows the shard: a snapshot, and then the same
// commands in the same order. A change returns once the copy has applied it. Reads that must not be
// stale ask the shard for an index, and wait until the copy has reached it. Copies pass changes to a
// projection, which has the only lock shared by writers and readers of groups; readers of a View do
// not take it. Publishing takes all pending changes at once: calls that end together share one View.
//
// A starting broker gets a new incarnation in shard 0, and then a new leader epoch for all its
// partitions in every shard, before it recovers its WAL. So a WAL that lost its tail never
// continues under the epoch of the lost records, and what the previous process left in progress
// is refused. The cost is one command per shard and one metadata refresh for clients. A shard that
// cannot be reached then is offline for the process until it knows it (self.go).
//
// Controllers end the session of a process that they do not hear. Sessions have numbers, and a broker
// that was only silent makes itself ready again in the next one (StayReady).
//
// Package quorum hosts the shards; see there for damaged logs and failing disks. Shards that it could
// not start are offline: their contents are unknown, and the others are served. After a disk failure
// (Failed) calls return meta.ErrUnavailable, and the process must exit.
//
// The copy of a shard whose command does not decode stops the process, since it must not continue
// with a state that others do not have.
package consensus
