// Package logmetrics exports metrics of topics, partitions and consumer groups: log start and
// end, bytes and records, and the lag of groups.
//
// Everything is read at the time of the scrape, from immutable views of the metadata and from
// atomics of partition states. A scrape takes no lock of the write or read path and accesses
// neither disk nor object store. [Config.MaxSeries] limits its size.
//
// The lag in seconds needs to know when a record was appended. For this, a [Collector] keeps
// [marks], the log end at points in time, of each partition for which a group with its own series
// has committed an offset. [Collector.Run] takes them. For earlier records it uses the timestamps
// in the tail index, read once for each partition, and those of objects in the metadata.
package logmetrics
