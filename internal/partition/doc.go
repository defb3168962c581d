// Package partition holds what a broker knows of each partition it serves: a
// State of watermarks that many goroutines read, and an index of the records that
// are still in the local WAL. An index entry covers one or more batches; readers
// split it at batch boundaries.
//
// Who writes what: commit publishes HighWatermark and appends to the tail index;
// upload moves TierEnd and trims the tail; DeleteRecords and retention move
// LogStart. Each value only grows, except Epoch on an unclean election. All
// methods are safe for concurrent use.
package partition
