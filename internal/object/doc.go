// Package object is the format of objects in object storage: record batches of
// many partitions, divided into blocks, with an index at the end.
//
// In: a Writer takes batches grouped by partition and streams the object into an
// io.Writer; a Footer is read from anything that can serve byte ranges. Out: the
// bytes of an object, and Footers that say which bytes hold which offsets. A
// block consists of whole record batches, so that fetched bytes can be sent to
// consumers unchanged.
//
// Ownership: the caller owns the bytes. A Writer keeps nothing of a batch after
// Append returns; a Footer owns its memory and is immutable once returned.
//
// Errors: ErrCorrupt for bytes that contradict their checksum or each other,
// ErrUnsupported for a newer version, ErrOrder for a caller that mixes up
// partitions or offsets, and errors of the underlying writer or range reader.
//
// The layout is in layout.go and docs/formats/object.md. Describe implements
// `sluice object dump`; Verify checks every byte.
package object
