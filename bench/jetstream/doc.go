// Package jetstream drives NATS JetStream with nats.go: one stream with file
// storage, a subject for each partition, asynchronous publishes within a window, and
// ordered consumers.
package jetstream
