// Package feed connects brokers with the controllers of the metadata, over gRPC on the controllers'
// feed port.
//
// A Server is on each controller: it streams what the controller's replicas of the shards apply,
// takes proposals and read indexes, and keeps the brokers' sessions. A Client is on each broker: it
// is a consensus.Source, and keeps a session with every controller. docs/formats/feed.md has the
// layout of the messages.
//
// # Calls
//
//	Follow     one stream for all shards: the client subscribes to shards, each from an index on; the
//	           server sends snapshots in pieces, entries, and heartbeats
//	Propose    a command for a shard; the reply has its result and index
//	ReadIndex  an index of a shard: whoever has applied it has seen all changes acknowledged before
//	Session    heartbeats in both directions; see below
//
// Any controller serves any shard that it hosts: Raft forwards proposals and read indexes to the
// shard's leader, and what a controller has applied is committed. A shard that one controller does
// not have is followed from another.
//
// # Outcomes
//
// A proposal that may have reached a controller and whose reply did not come is unknown
// (meta.ErrUnavailable): it may be applied later. The Client never sends it again; the caller may,
// since every method of consensus.Cluster may be repeated. The Client itself goes on to another
// controller only if a proposal was not sent or was refused before it reached Raft.
//
// # Lifetimes
//
//	what               begins                        ends                                   owner
//	connection         Client                        silence, Close                         link
//	stream of entries  a shard is assigned to the    first error, silence, Close            link
//	                   link
//	subscription       Client.Follow                 the next Follow of the shard, Close    Client
//	snapshot pieces    the first                     the last, or the end of the stream     subscription
//	session            its stream is open            its broker is fenced, or a later       leases
//	                                                 incarnation has one
//
// # Sessions
//
// Only the controller that leads shard 0 ends sessions, by what it has seen itself. A broker whose
// streams broke, which the end of its process does, is fenced after Grace; one that is silent, after
// Lease. A controller that becomes the leader gives brokers of which it has heard nothing for longer than
// the lease the whole lease: the leader before must have heard them. But it looks whether their
// processes listen, and fences after Grace those that do not. A controller that did not run for a while, suspended or starved, does not count that time
// against brokers.
//
// A fence names the session that it ends, and may be applied late: the broker is in its next session
// then, and the fence is refused (docs/formats/metadata.md).
//
// # What can fail
//
// Everything from a peer is checked before it has an effect: a command that the state machines would
// not take never reaches Raft, since it would stop every controller. A violation ends the call with
// one sentence, in the log here and as the gRPC status there.
package feed
