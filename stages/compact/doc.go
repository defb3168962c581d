// Package compact rewrites objects: small ones of a partition into large ones, and,
// where cleanup.policy has compact, records into the latest of each key.
//
// It is a pipeline of its own, behind upload: Planner (source) looks at the manifests
// of the partitions that this broker leads and emits a Job where something is worth
// doing; Compactor (sink) does one job at a time. Each reads objects, writes one and
// has the metadata put it in their place:
//
//  1. prepare: the new object's id is in the metadata before the object is in the
//     store;
//  2. put, if none is there, in the time that was prepared;
//  3. replace, refused unless the manifest still has exactly what was read.
//
// So a crash or a lost answer at any point leaves either the old objects or the new
// one in the manifest, and the others are garbage that upload.Uploader.Sweep deletes.
// A job that fails is not tried again but planned anew.
//
// What is rewritten: whole batches are copied as they are. Compaction by key (see
// cleaner) removes records from batches, and batches that have none left. Offsets
// stay, so there are gaps; an object always ends in a batch that ends where its range
// does, empty if need be, so that a reader gets to the next object.
//
// Memory: one index of keys, one range of an object and one batch, unpacked and written
// again, each in its share of Config.MemoryBytes (see compactor.go). Reads and writes
// share one bandwidth. Neither grows with the data: keys that do not fit are done in
// several passes, and a batch that does not fit stays as it is.
package compact
