// Package lookup finds the partition that a client names among those this broker
// serves, or says why it cannot be served here.
//
// It owns nothing: topics come from an immutable meta.View, partition states from
// the broker's table. Every error is one of the sentinels below or
// meta.ErrUnknownTopic, unwrapped, so that rejecting ten thousand partitions
// allocates nothing. All methods are safe for concurrent use.
package lookup
