// Package consensus is the node's access to the cluster's metadata: Raft shards (dragonboat
// with its tan log store), the state machines of package machine in them, and the View that all
// other packages read.
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
// State is owned by dragonboat's apply workers, one at a time per shard. They pass changes to a
// projection, which has the only lock shared by writers and readers of groups; readers of a
// View do not take it. Publishing takes all pending changes at once: calls that end together
// share one View.
//
// A starting broker gets a new incarnation in shard 0, and then a new leader epoch for all its
// partitions in every shard, before it recovers its WAL. So a WAL that lost its tail never
// continues under the epoch of the lost records, and what the previous process left in progress
// is refused. The cost is one command per shard and one metadata refresh for clients.
//
// At start every log is read through package raftfs, which changes nothing on disk, and
// compared with package guard, which knows what was last synced. Shards whose logs are damaged
// or incomplete are offline: they are not started, their contents are unknown, and the others
// are served. Without shard 0 Open fails.
//
// A later disk failure closes Failed: calls return meta.ErrUnavailable, and the process must
// exit. A committed command that does not decode stops the process, since a replica must not
// continue with a state that others do not have.
//
// Not implemented yet: more than one replica.
package consensus
