// Package record is the Kafka record batch, format v2, as a view over bytes.
//
// What enters: bytes, from a client, the WAL or an object. What leaves: the
// same bytes, seen as batches. A batch travels through the broker unchanged; only
// Stamp and SetLogAppendTime write into it. The package keeps no reference to
// what it is given, and every length it reads is checked before it is used.
package record
