// Package walread serves reads from the WAL: of batches that left the write cache
// before they were uploaded, as after a restart.
//
// In: a Fetch. Out: the same Fetch, its tail reads served. A segment that was
// reclaimed between locating and reading is not an error: the records are in an
// object by then, so the read is located again.
package walread
