// Package meta is the vocabulary of cluster metadata: immutable snapshots that
// consensus publishes and everything else reads.
//
// A View and everything reachable from it is never modified after publication; a
// change creates a new View that shares what did not change.
package meta
