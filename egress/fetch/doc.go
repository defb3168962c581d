// Package fetch serves Kafka's Fetch to consumers, with long polls (MinBytes, MaxWait) and
// fetch sessions (KIP-227).
//
// In: a decoded Fetch request. Out: the encoded body of the response as net.Buffers. Its record
// batches are the segments returned by the read pipeline; nothing is copied on the way to the
// socket.
//
// Ownership: the response refers to segments until its release is called; then the segments are
// released and their bytes refunded to the fetch budget.
//
// Errors: single partitions fail with an error code each. The whole request fails only if its
// session is unknown or out of sequence; the client then starts a new one. When the server
// closes, waiting requests are answered at once with what is available.
//
// A poll checks the partitions of its request or session without I/O. If there is not enough to
// read, it parks: it uses no goroutine, and is woken when a partition has received its share of
// the missing bytes, when anything else changes, by a timer, or when its connection ends. A
// parked poll takes some 1.5 KiB, and appends too small to complete it cost nothing. The memory
// of all requests until they are answered is limited; waiting divides it. Only partitions with
// something to read are passed to the read pipeline.
package fetch
