// Package batch is the stage that makes one WAL write of many produce requests
// (group commit).
//
// In: sequenced Writes of all partitions. Out: Groups, numbered densely from 1,
// whose receipt settles the receipts of all Writes in them. A Group leaves with its
// image, made by the log that will write it; the stage's reference to that ends when
// the receipt settles.
//
// How long to wait for company is decided by what is in flight, not by a fixed
// timer. With fewer than EagerGroups in flight a Write leaves at once, so a broker
// that is not busy adds no latency. With more the next one fills until it has
// TargetBytes, or the linger is over, or one of those before it has settled: waiting
// costs nothing then, since the device is busy anyway.
package batch
