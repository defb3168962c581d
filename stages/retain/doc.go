// Package retain deletes old records: for each partition that this broker leads
// and whose cleanup.policy includes delete, it decides where the log should
// start, by retention.ms and retention.bytes, and raises the log start in the
// metadata.
//
// It is a pipeline of its own: the Planner (source) checks every partition
// periodically and emits a Trim for each that has something to delete; the
// Trimmer (sink) applies them to the metadata at a limited rate.
//
// The decision is a pure function (see Policy.Start). Only whole objects go,
// oldest first; records not in an object yet go only when all of the log is old.
// No data is deleted here: an object that no partition refers to is garbage,
// which upload.Uploader.Sweep collects, and the WAL reclaims its segments after
// the next upload. A reader below the new start gets OFFSET_OUT_OF_RANGE.
package retain
