// Package machine holds the replicated state machines of the cluster's metadata: Root, in shard
// 0, and Shard, in every partition shard.
//
// In: commands, in the order of a Raft log. Out: a Result for the proposer of the command, and
// Changes, which are new immutable values for readers. A machine is a pure function of its
// state and the command: it has no clock (times come in the command), performs no I/O, starts
// no goroutine, and no outcome depends on map order, so replicas at the same index are
// identical byte for byte. It is driven by one goroutine at a time.
//
// Root holds the cluster-wide state: cluster id, brokers and their incarnations, topics with
// configs and partition counts, producer id blocks, controllers, throttle states.
//
// A Shard holds partition records, the sessions of brokers, the lease of the groups' coordinator,
// the state of objects, and consumer groups. Package replication has the rules by which leaders,
// ISRs and replicas change; every change goes through Shard.store. A topic's
// partitions are spread over all shards, so a change of a topic takes several commands; the
// topic's record in Root says how far it got (see Topic), and every command of a sequence may
// be repeated.
//
// Commands and snapshots have one binary layout, in docs/formats/metadata.md. Undecodable bytes
// are an error: a replica that cannot read a committed command must stop rather than diverge
// from the others.
package machine
