// Package record implements Kafka's record batch, format v2 (magic 2, KIP-98), as
// a view over bytes: nothing is decoded until requested, and what is stored is
// what the producer sent.
//
// In: bytes from a produce request, the write-ahead log or an object. Out: a
// Batch, which is a slice of those bytes, and on demand its Records.
//
// Ownership: the bytes belong to whoever passed them in. A Batch and the Records
// of an uncompressed batch point into them; the Records of a compressed batch
// point into a pooled buffer and are valid only within the loop body. Only Stamp,
// SetLogAppendTime and SetCreateTime write.
//
// Errors: ErrCorrupt for bytes that are not a sound batch, ErrTooLarge for an
// exceeded limit, ErrUnsupported for message formats v0 and v1, unknown codecs
// and attributes of a later format. Validate checks a batch sent by a producer,
// Verify one read back from storage; accessors check nothing, so call one of
// these, or Next, first.
//
// The layout is in batch.go and docs/formats/record-batch.md.
//
// The package has two kinds of process-wide values: the CRC table, which is
// constant, and pools of buffers, encoders and decoders, which hold no state
// between uses.
package record
