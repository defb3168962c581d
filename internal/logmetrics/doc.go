// Package logmetrics says of topics, partitions and consumer groups what a scrape of metrics
// asks for: log start and end, bytes and records, and how far groups are behind.
//
// Everything is read when a scrape comes, from immutable views of the metadata and from
// atomics of partition states: no lock of the write or read path is taken, and neither disk
// nor object store is asked. What a scrape makes is bounded by [Config.MaxSeries].
//
// How far a group is behind in time needs to know when a record was appended. A [Collector]
// keeps [marks] for that, the log end at points in time, of each partition that a group with
// series of its own has committed an offset of. [Collector.Run] takes them. What was in the
// log before is known by the timestamps of the tail index, which it reads once for each
// partition, and those of objects in the metadata.
package logmetrics
