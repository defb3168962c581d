// Package group is the consumer group coordinator: it serves the requests of
// group members and of clients that commit offsets.
//
// What a group does is decided by the pure machine in package rebalance. This
// package drives it: each group belongs to one lane, a goroutine with a bounded
// queue that owns the machines of its groups, their timers and the replies they
// owe. A lane never waits for anything but work.
//
// State and offsets are durable in a Store. Per group one write is under way at
// a time; whatever comes meanwhile is put together into the next (group commit).
// An offset commit is acknowledged when its write has returned, a SyncGroup when
// the generation is written. Committed offsets are not kept here: OffsetFetch
// reads the store, so it shows what is durable and nothing else.
//
// New has loaded all groups when it returns, so a request never sees a group that
// is half there. Members of a loaded group go on with their ids and generation;
// their sessions begin anew.
//
// What groups take, in number and in bytes, has one owner, room. A request that needs
// more than there is waits there, apart from the lanes, and a goroutine of its own finds
// the groups without members that were unused the longest, over all lanes, and has them
// deleted. That goroutine waits for lanes; a lane never waits for it, nor for another
// lane. A claim holds its room before its group changes (DESIGN.md).
//
// Request bodies point into their frame; what is kept beyond the reply is copied.
// A connection that ends takes no member with it: only its session timeout does,
// as in Kafka. Replies are called exactly once, also at Close.
package group
