// Package flow is the unit of flow: what parcels of the write and the read
// pipeline carry from stage to stage.
//
// Ownership. The bytes of Append.Batch belong to the request frame until the
// wal stage has copied them into its group image; from then on Batch points
// into the image, which is immutable and reference counted. A stage may write
// a field only while it owns the parcel; the comment of each field names the
// stage that sets it.
package flow
