// Package compact rewrites objects: small ones of a partition into large ones,
// and, where cleanup.policy includes compact, keeping only the latest record of
// each key.
//
// It is a pipeline of its own, behind upload: the Planner (source) checks the
// manifests of the partitions that this broker leads and emits a Job where one is
// worthwhile; the Compactor (sink) runs one job at a time. Each job reads
// objects, writes one and replaces them in the metadata:
//
//  1. prepare: the new object's ID is in the metadata before the object is in the
//     store;
//  2. put, if absent, within the prepared time;
//  3. replace, refused unless the manifest still has exactly what was read.
//
// So a crash or a lost response at any point leaves either the old objects or the
// new one in the manifest; the others are garbage that upload.Uploader.Sweep
// deletes. A failed job is not retried but planned again.
//
// Whole batches are copied unchanged. Compaction by key (see cleaner.go) removes
// records from batches, and batches that become empty. Offsets stay, so there are
// gaps; an object always ends with a batch that ends where its range does, empty
// if need be, so that a reader gets to the next object.
//
// Memory: one key index, one range of an object and one batch, decompressed and
// written again, each within its part of Config.MemoryBytes (see compactor.go).
// Reads and writes share one bandwidth limit. Neither grows with the data: keys
// that do not fit take several passes, and a batch that does not fit is kept
// unchanged.
package compact
