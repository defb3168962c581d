// Package upload moves committed records from the WAL to the object store.
//
// It is a pipeline of its own, behind the write pipeline: the Ledger (source)
// emits a Cut of the WAL when one is due, by size, age or pressure; the Uploader
// (sink) writes the objects of a Cut, records them in the metadata, moves the
// partitions' tier ends and lets the WAL reclaim segments. Cuts are handled one
// after another, since each starts where the previous one ended; the objects of a
// cut are written concurrently.
// In: groups that are committed and visible (Ledger.Note). Out: nothing; the
// effect is that the WAL before a cut may be reclaimed.
//
// The order within a Cut is what makes it safe:
//
//  1. prepare: the object's ID is in the metadata before the object is in the
//     store, so that a crash leaves nothing unknown;
//  2. put, if absent, within the prepared time;
//  3. commit, refused unless it continues the partition at its tier end;
//  4. tier end, then tail index, then WAL: a reader that does not find records in
//     one finds them in the next.
//
// Every step is retried with increasing pauses until it succeeds or the broker
// stops; meanwhile the WAL fills and the write pipeline holds producers back. A
// partition that fails by itself (its range cannot be read, or the metadata
// refuses it) is isolated: the cut is uploaded without it, it is retried
// separately, and after three failures it accepts no more records
// (docs/decisions/0034-quarantine.md).
//
// Uploader.Sweep deletes what the metadata lists as garbage, twice where an
// abandoned PUT may have brought an object back
// (docs/decisions/0013-late-puts.md).
package upload
