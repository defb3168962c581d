// Package fetch is the door through which consumers read: it serves Kafka's
// Fetch with long polls (MinBytes, MaxWait) and fetch sessions (KIP-227).
//
// What enters: a decoded Fetch request. What leaves: the encoded body of the
// answer as net.Buffers, whose record batches are the very segments that the read
// pipeline returned; nothing is copied on the way to the socket.
//
// Who owns the bytes: the answer refers to segments until its release is called;
// then they go back, together with the bytes charged to the fetch budget.
//
// What can fail: single partitions, with an error code each. The whole request
// fails only for a session that is not known here or out of step; the client then
// starts a new one. When the server is closed, waiting requests are answered at
// once with what there is.
//
// A poll looks at the partitions of its request, or of its session, without I/O.
// When there is not enough to read it is parked: it has no goroutine, and is woken by
// the partition in which its share of what is missing has come, by a change of
// anything else there, by a timer, or by the end of its connection. So a wait takes
// some 1.5 KiB, and appends that are too little for it cost it nothing. What all
// requests take until they are answered has a bound, which waiting shares out. Only
// partitions that have something are handed to the read pipeline.
package fetch
