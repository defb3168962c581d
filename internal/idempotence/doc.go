// Package idempotence decides whether an idempotent producer's batch is new, a
// retry, or out of order (KIP-98, KIP-360).
//
// Producers is a pure function of the log: replaying the same batches in the
// same order gives the same state, whichever broker does it. It holds, for each
// producer id, the epoch and the last five batches. It is not safe for
// concurrent use; its owner is the goroutine that sequences the partition.
package idempotence
