// Package idempotence decides whether an idempotent producer's batch is new, a
// retry, or out of order (KIP-98, KIP-360), and encodes its state.
//
// Producers is the state of one partition, a function of its log: for each
// producer ID the epoch and the last five batches. Appending the same batches in
// the same order, or twice, gives the same state on every broker.
//
// A Table is the memory of all partitions of a broker, within a limit. A producer
// ID is removed when it has been idle for the expiration time, or when the limit
// is reached and it is the one idle for longest. A removed producer counts as
// never seen: its next batch is accepted with any sequence number, as in Kafka,
// and only a retry of an earlier batch is not recognised.
//
// A snapshot is encoded state, sorted by producer ID (see snapshot.go and
// docs/formats/object.md for the layout). Merge merges an older and a newer one
// without decoding either into memory.
//
// Table and Producers are safe for concurrent use. The only errors are of invalid
// snapshots: ErrCorrupt, or ErrUnsupported for a newer version.
package idempotence
