// Package retain ends the life of old records: it decides, for each partition that
// this broker leads and whose cleanup.policy has delete, where its log is to start
// by retention.ms and retention.bytes, and has the metadata say so.
//
// It is a pipeline of its own: Sweeper (source) looks at every partition once in a
// while and emits a Trim for each that has something to lose; Trimmer (sink) brings
// them to the metadata, no more than so many a second.
//
// What is decided is pure (see Policy.Start). Only whole objects go, from the front;
// what is not in an object yet goes when all of the log is old. Nothing is deleted
// here: an object that no partition names any more is garbage, which
// upload.Uploader.Sweep collects, and the WAL gives its room back after the next
// upload. A reader below the new start gets OFFSET_OUT_OF_RANGE.
package retain
