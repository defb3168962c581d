// Package flow defines what the parcels of the write and read pipelines carry
// from stage to stage.
//
// Ownership. The bytes of Append.Batch belong to the request frame until the
// batch stage has copied them into the image of their group; from then on Batch
// points into the image, which is immutable and reference counted. A stage may
// write a field only while it owns the parcel; each field's comment names the
// stage that sets it. After batch, Append.Err belongs to the partition's replica
// until the append is settled.
package flow
