// Package group is the consumer group coordinator: it serves the requests of group members and
// of clients that commit offsets.
//
// Decisions are made by the pure state machine in package rebalance. This package drives it:
// each group belongs to one lane, a goroutine with a bounded queue that owns the state machines
// of its groups, their timers and their pending replies. A lane never waits for anything but
// work.
//
// State and offsets are durable in a Store. There is one write per group at a time; everything
// that arrives meanwhile goes into the next one (group commit). An offset commit is
// acknowledged when its write has returned, a SyncGroup when the generation is written.
// Committed offsets are not cached here: OffsetFetch reads the store, so it shows exactly what
// is durable.
//
// New loads all groups before it returns, so no request sees a partly loaded group. Members of
// a loaded group keep their ids and generation; their sessions start over.
//
// The number and the memory of groups have one owner, quota. A request that does not fit waits
// there, outside of the lanes. A separate goroutine finds the groups without members that have
// been unused the longest, across all lanes, and deletes them. That goroutine waits for lanes;
// a lane never waits for it, nor for another lane. A claim is charged before its group changes
// (DESIGN.md).
//
// Request bodies point into their frame; whatever outlives the reply is copied. As in Kafka,
// closing a connection removes no member; only its session timeout does. Replies are called
// exactly once, also at Close.
package group
