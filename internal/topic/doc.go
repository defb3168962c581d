// Package topic holds the identity of topics and partitions.
//
// Everything durable is keyed by the topic's UUID, never by its name, so a
// topic that is deleted and made again under the same name can never inherit
// old bytes. Values of this package are immutable and safe to share.
package topic
