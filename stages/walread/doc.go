// Package walread serves reads from the WAL: what left the write cache before it
// was uploaded, as after a restart.
//
// In: a Fetch. Out: the same Fetch, its reads of the tail served. A segment that
// was reclaimed between locating and reading is not an error: the records are in
// an object by then, so the read is located anew.
package walread
