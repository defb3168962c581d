// Package record is Kafka's record batch, format v2 (magic 2, KIP-98), as a view
// over bytes: nothing is decoded until it is asked for, and what is stored is what
// the producer sent.
//
// What enters: bytes from a produce request, the write-ahead log or an object.
// What leaves: a Batch, which is a slice of those bytes, and on demand its Records.
//
// Who owns the bytes: whoever passed them in. A Batch and the Records of an
// uncompressed batch point into them; the Records of a compressed batch point into
// a pooled buffer and are valid only inside the body of the loop. Only Stamp and
// SetLogAppendTime write.
//
// What fails: ErrCorrupt for bytes that are not a sound batch, ErrTooLarge for a
// limit, ErrUnsupported for message formats v0 and v1, for codecs that do not exist
// and for attributes of a later format. Validate judges a batch that a producer
// sent, Verify one that comes back from storage; accessors check nothing, so one of
// the two, or Next, comes first.
//
// The layout is in batch.go and in docs/formats/record-batch.md.
//
// The package keeps two kinds of process-wide values: the CRC table, which is a
// constant, and pools of buffers, encoders and decoders, which hold no state between uses.
package record
