package flow

import (
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Acks is Kafka's acknowledgement level of a produce request.
type Acks int16

// The three levels that exist.
const (
	AcksNone   Acks = 0
	AcksLeader Acks = 1
	AcksAll    Acks = -1
)

// Append is one record batch on its way into one partition.
type Append struct {
	Partition topic.Partition
	State     *partition.State // ingress: looked up from the partition table
	Batch     record.Batch     // see the package comment for who owns the bytes
	Acks      Acks

	// Err is why this batch alone was refused; nil once durable. A refused
	// append travels on so that order is kept, but writes nothing.
	Err error
	// Duplicate is set by sequence for a retry of a batch already appended: it
	// writes nothing and is acknowledged only when the original is durable.
	Duplicate bool
	// BaseOffset and LogAppendTime (ms, -1 for CreateTime) are set by sequence.
	BaseOffset    int64
	LogAppendTime int64
	// Epoch is the leader epoch stamped by sequence.
	Epoch int32
	// Position is where the wal stage put the batch.
	Position partition.Position
	// HighWatermark is what commit found the partition's to be with this batch.
	HighWatermark int64
}

// Writes reports whether a puts bytes into the log.
func (a *Append) Writes() bool { return a.Err == nil && !a.Duplicate }

// Write is what admit sends down one lane: the appends of one request that
// share it, in request order.
type Write struct {
	LaneKey uint64    // the hash of one of its partitions; the others are of the same lane. admit
	Appends []*Append // of the request, shared with whoever handed it in
	Bytes   int64
}

// Group is one WAL write: many Writes, one I/O, one sync.
type Group struct {
	Seq    uint64 // dense from 1 within one process
	Writes []*Write
	Bytes  int64 // payload bytes of appends that write
	// Image is the group as it is on disk, set by wal. Whoever keeps it retains it.
	Image *blockfs.Buffer
	// Position is where the image starts, set by wal.
	Position partition.Position
}
