// Package peer carries replication between brokers: one gRPC stream for each pair of a leader
// broker and a follower broker, with all their partitions.
//
// The follower's side opens the stream to the leader's internal port and sends a Hello; the
// leader's side answers with its own. From then on positions go to the leader, and records,
// divergences and restarts to the follower. docs/formats/replication.md has the layout. What is
// sent, and when, is decided by the driver of the replicas, which is behind Local.
//
// # Lifetimes
//
//	what                      begins                          ends                              owner
//	connection, dialed        dialer.connect                  with its stream                   dialer
//	connection, accepted      Serve                           1 s after its stream, or after    connection
//	                                                          connect_timeout without a Hello
//	stream                    both Hellos were right          first error on either side,       stream
//	                                                          silence, a newer stream, Update,
//	                                                          Close
//	records being sent        Local.Next                      gRPC has written them, or the     frame
//	                                                          connection has ended
//	records that arrived      Local.Records                   the driver's release              inbound
//
// At most one stream of a follower is in use. A newer stream of the same or a later incarnation ends
// the older one, whose messages are not delivered any more.
//
// # The window
//
// A leader has at most window bytes under way to a follower: the lesser of its own
// follower_window_bytes and that of the follower's Hello. Frames with records count from when they
// are made until the follower's driver has released all their records; the follower returns their
// bytes as credit. So the window bounds the follower's memory, too, and a follower whose disk is
// slow stops the calls of Local.Next without stopping positions or pings. A frame may exceed what
// is left of the window by one batch.
//
// # Liveness
//
// The end of a process ends its connections, which both sides notice at once. A process or a link
// that is silent is noticed by pings: each side sends one every ping_interval, and
// ends the stream if nothing has arrived for ping_timeout. gRPC's own keepalive is not used: its
// client sends a ping every 10 s at most, and a stopped process's kernel would answer nothing of it
// sooner. Pings are answered by the goroutine that reads the stream, which never waits for the driver.
//
// # Bytes
//
// Records are not copied on their way into gRPC: slices of 1 KiB and more are passed as buffers whose
// release is called when gRPC no longer needs them. On arrival the pieces of a frame are copied
// once, so that the batches of a partition are contiguous.
//
// # Failures
//
// What arrives is checked before anything of a frame takes effect. A violation ends the stream with
// one sentence, in the log here and as the gRPC status there.
package peer
