// Package idempotence decides whether an idempotent producer's batch is new, a
// retry, or out of order (KIP-98, KIP-360), and writes down what it knows.
//
// Producers is the state of one partition, a function of its log: for each producer
// id the epoch and the last five batches. Taking in the same batches in the same
// order, or a second time, gives the same state, whichever broker does it.
//
// The memory of all partitions that one goroutine owns is a Table, and that of all
// Tables is charged to a Budget. Two things take a producer id out again: it was idle
// for the expiration, or the budget is used up and it is the longest idle of its
// Table. A producer that was taken out is one that was never seen: its next batch is
// accepted at whatever sequence it has, as in Kafka, and only a retry of a batch from
// before is not recognised.
//
// A snapshot is state as bytes, sorted by producer id (layout in snapshot.go and in
// docs/formats/object.md). Merge joins an older one and a newer one without taking
// either apart in memory.
//
// Table and Producers are not safe for concurrent use. What fails is only a snapshot
// that is not one: ErrCorrupt, or ErrUnsupported for a version from the future.
package idempotence
