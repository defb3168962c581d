// Package upload moves committed records from the WAL to the object store.
//
// It is a pipeline of its own, behind the write pipeline: Ledger (source) says
// when a Cut of the WAL is due, by size, age or pressure; Uploader (sink) writes
// the objects of a Cut, records them in the metadata, moves the partitions' tier
// ends and gives the WAL back. Cuts are handled one after another, since each
// begins where the one before has ended; the objects of a cut go out together.
//
// What enters: groups that are committed and visible (Ledger.Note). What
// leaves: nothing; the effect is that the WAL before a cut may be reclaimed.
//
// The order within a Cut is the whole of its safety:
//
//  1. prepare: the object's id is in the metadata before the object is in the
//     store, so that a crash leaves nothing that nobody knows of;
//  2. put, if none is there, in the time that was prepared;
//  3. commit, refused unless it continues the partition at its tier end;
//  4. tier end, then tail index, then WAL: a reader that loses its place in one
//     finds it in the next.
//
// Every step is tried again with growing pauses until it succeeds or the broker
// stops; meanwhile the WAL fills and the write pipeline holds the producers back.
// A partition that fails by itself (its range cannot be read, or the metadata refuses
// it) is set aside: the cut goes out without it, it is tried alone, and takes no more
// records after three failures (docs/decisions/0034-quarantine.md).
//
// Uploader.Sweep deletes what the metadata names as garbage, which it does twice where a
// PUT that was given up can have brought an object back (docs/decisions/0013-late-puts.md).
package upload
