// Package machine holds the replicated state machines of the cluster's
// metadata: Root, of shard 0, and Shard, of every partition shard.
//
// In: commands, in the order of a Raft log. Out: a Result for whoever proposed
// the command, and Changes, which are new immutable values for readers. A
// machine is a pure function of its state and the command: it has no clock (times
// come in the command), does no I/O, starts nothing, and no outcome depends on
// the order of a map, so that replicas at the same index are byte for byte the
// same. It is driven by one goroutine at a time.
//
// Root has what belongs to the cluster: its id, brokers and their incarnations,
// topics with their configs and number of partitions, producer id blocks.
//
// A Shard has partition records, what it knows of objects, and consumer groups.
// A topic's partitions go around all shards, so one change of a topic takes several
// commands; the topic's record in Root says how far it got (see Topic), and every
// command of a sequence may be repeated.
//
// Commands and snapshots have one binary layout, in docs/formats/metadata.md.
// What does not decode is an error: a replica that cannot read a committed
// command must stop rather than differ from the others.
package machine
