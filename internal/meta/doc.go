// Package meta is the vocabulary of cluster metadata: immutable snapshots that
// consensus publishes and every other room reads.
//
// A View and everything reachable from it is never written after publication;
// a change makes a new View that shares what did not change.
package meta
