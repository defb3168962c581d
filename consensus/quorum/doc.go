// Package quorum is what a controller hosts of the cluster's metadata: its replicas of the Raft
// shards (dragonboat with its tan log store) and the state machines of package machine in them.
//
// In: encoded commands (Propose), and through Raft those of other controllers. Out: results, and
// for brokers the commands of each shard in the order in which they were applied (Follow), after a
// snapshot where the latest commands are not enough.
//
// State is owned by dragonboat's apply workers, one at a time per shard.
//
// A controller's replica of a shard has a number of its own: the controller's id and, above it, the
// random incarnation of its log. It is never used again once the log was lost, since a replica that
// has forgotten what it acknowledged must not vote. identity.go keeps the numbers, form.go makes a
// cluster at the first start, join.go has new replicas join, non-voting first, controllers.go adds
// and removes controllers, and lead.go says who leads. Package raftnet connects controllers.
//
// At start every log is read through package raftfs, which changes nothing on disk, and
// compared with package guard, which knows what was last synced. On a node alone, shards whose logs
// are damaged or incomplete are offline: they are not started, their contents are unknown, and the
// others are served; without shard 0 Open fails. Where there are other controllers, such a log is
// moved aside and a new replica takes its place.
//
// A later disk failure closes Failed: calls return meta.ErrUnavailable, and the process must
// exit. A committed command that does not decode stops the process, since a replica must not
// continue with a state that others do not have.
package quorum
