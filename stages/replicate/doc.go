// Package replicate is the stage that copies groups to followers, in parallel
// with the wal stage.
//
// In: Groups in order. Out: one Ack for each, in order, once enough followers
// have the group on disk. With no followers (one node) a group is acknowledged
// at once. A follower gets slices of the group's image, behind its head, and retains it
// for as long as it needs them. The followers themselves are given as an interface; a cluster adds
// implementations, not a second path.
package replicate
