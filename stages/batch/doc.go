// Package batch is the stage that combines many produce requests into one WAL
// write (group commit).
//
// In: sequenced Writes of all partitions. Out: Groups, numbered densely from 1,
// which the Log has appended to the logs of their partitions. A Group leaves with
// its image, built by the log that will write it; the stage's reference to the
// image ends when the Group's receipt settles.
//
// The receipt of a Group stands for its bytes. The receipt of a Write in it stands
// for what its acks ask for: with acks=0 it settles as soon as the image has its
// bytes, otherwise when its last append is settled, which may be long after the
// group. A group that is nacked nacks its Writes.
//
// How long a group waits for more depends on what is in flight, not on a fixed
// timer. With fewer than EagerGroups in flight a Write leaves at once, so an idle
// broker adds no latency. With more, the next group fills until it reaches
// TargetBytes, the linger ends, or an earlier group settles: waiting is free
// then, since the device is busy anyway.
package batch
