// Package partition holds what a broker knows of each partition of which it is a
// replica: a State of watermarks that many goroutines read, and an index of the
// records that are still in the local WAL. An index entry covers one or more
// batches; readers split it at batch boundaries.
//
// To lead is a property of a State: a broker that loses the leadership of a
// partition keeps its State and its copy of the records. A State is deleted only
// with its topic, or when the partition is assigned to other brokers.
//
// Who writes what: commit publishes HighWatermark and appends to the tail index;
// upload moves TierEnd and trims the tail; DeleteRecords and retention move
// LogStart. Each value only grows, except Epoch on an unclean election. All
// methods are safe for concurrent use.
package partition
