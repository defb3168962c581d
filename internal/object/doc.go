// Package object is the format of what Sluice keeps in object storage: record
// batches of many partitions, cut into blocks, with an index at the end.
//
// What enters: a Writer takes batches grouped by partition and streams the object
// into an io.Writer; a Footer is read back from whatever can serve byte ranges.
// What leaves: the bytes of an object, and Footers that say which bytes hold which
// offsets. A block is whole record batches and nothing else, so that what is fetched
// is sent to consumers as it is.
//
// Who owns the bytes: the caller. A Writer keeps nothing of a batch after Append
// returns; a Footer owns its memory and is immutable once it is out.
//
// What fails: ErrCorrupt for bytes that contradict their checksum or each other,
// ErrUnsupported for a version from the future, ErrOrder for a caller that mixes up
// partitions or offsets, and whatever the writer or range reader below reports.
//
// The layout is in layout.go and in docs/formats/object.md. Describe is behind
// `sluice object dump`, Verify checks every byte.
package object
