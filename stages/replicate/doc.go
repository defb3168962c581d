// Package replicate is the stage that copies groups to followers, in parallel
// with the wal stage.
//
// In: Groups in order. Out: one Ack per group, in order, once enough followers
// have the group on disk. Without followers (one node) a group is acknowledged at
// once. A follower reads the group's image behind the head and retains it for as
// long as it needs it. Followers are an interface: a cluster adds
// implementations, not a second path.
package replicate
