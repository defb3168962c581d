// Package trim is the last stage of the read pipeline.
//
// In: a Fetch whose reads were served. It trims the whole response to the number
// of bytes that the client asked for, counts which tier served the reads, and
// settles; the listener then writes headers and batches to its socket without
// copying them.
package trim
