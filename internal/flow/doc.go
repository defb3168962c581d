// Package flow is the unit of flow: what parcels of the write and the read
// pipeline carry from stage to stage.
//
// Ownership. The bytes of Append.Batch belong to the request frame until the
// batch stage has copied them into the image of their group; from then on Batch
// points into the image, which is immutable and reference counted. A stage may
// write a field only while it owns the parcel, so none between the branches of wal
// and replicate; the comment of each field names the stage that sets it.
package flow
