// Package partition holds what one broker knows of each partition it serves: a
// State of watermarks that many goroutines read, and an index of the records
// that still are in the local WAL. The index knows runs of batches; whoever reads
// one cuts from it what was asked for, between batches.
//
// Who writes what: commit publishes HighWatermark and appends to the tail
// index; upload moves TierEnd and trims the tail; DeleteRecords and retention
// move LogStart. Each value only grows, except Epoch on an unclean election.
// All methods are safe for concurrent use.
package partition
