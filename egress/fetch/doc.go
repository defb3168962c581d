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
// A poll is one goroutine. It looks at the partitions of its request, or of its
// session, without I/O; when there is not enough to read it sleeps on one
// partition.Watcher that all of them share, so a wait costs nothing. Partitions
// of a session are watched for as long as the session lives, others for as long
// as the poll sleeps. Only partitions that have something are handed to the read
// pipeline.
package fetch
