package flow

import (
	"slices"
	"time"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Acks is Kafka's acknowledgement level of a produce request.
type Acks int16

// The valid levels.
const (
	AcksNone   Acks = 0
	AcksLeader Acks = 1
	AcksAll    Acks = -1
)

// Append is one record batch on its way into one partition.
type Append struct {
	Partition topic.Partition
	State     *partition.State // ingress: looked up from the partition table
	Batch     record.Batch     // see the package comment for ownership
	Acks      Acks
	Timeout   time.Duration // the longest that the submitter waits for other replicas

	// Err is why this batch alone was rejected, or is not known to be as durable as
	// Acks asks for; nil once it is. A rejected append travels on to keep the order,
	// but writes nothing.
	Err error
	// Duplicate is set by sequence for a retry of an already appended batch: it
	// writes nothing and is acknowledged once the original is as durable as Acks
	// asks for.
	Duplicate bool
	// BaseOffset and LogAppendTime (ms, -1 for CreateTime) are set by sequence.
	BaseOffset    int64
	LogAppendTime int64
	// Epoch is the leader epoch stamped by sequence.
	Epoch int32
	// At is the batch's offset in the image of its group, set by batch.
	At int
	// Follower means that the batch comes from the partition's leader: it is part of
	// the log already.
	Follower bool
	// Replicated means that other brokers have replicas of the partition too, so that
	// what is on disk need not be committed. Set when it is appended to the log.
	Replicated bool
	// Due is when Timeout ends, and End the offset after the last, set by the replica.
	Due time.Time
	End int64
	// Write is the Write that the append is part of, set by batch.
	Write *Write
}

// Writes reports whether a writes bytes to the log. It holds until the append is
// settled.
func (a *Append) Writes() bool { return a.Err == nil && !a.Duplicate }

// Write is what admit sends down one lane: the appends of one request for that
// lane, in request order.
type Write struct {
	LaneKey uint64    // the hash of one of its partitions; the others map to the same lane. Set by admit
	Appends []*Append // of the request, shared with the submitter
	Bytes   int64

	promised promised
}

// Acks returns the acknowledgement level, which all appends of a request share.
func (w *Write) Acks() Acks {
	if len(w.Appends) == 0 {
		return AcksAll
	}
	return w.Appends[0].Acks
}

// Group is one WAL write: many Writes, one I/O, one sync.
type Group struct {
	Seq    uint64 // dense from 1 within one process
	Writes []*Write
	Bytes  int64 // payload bytes of appends that write
	// Image is the group as it will be on disk, built by batch; nil if nothing is
	// written. The parcel's reference ends when its receipt settles; whoever needs
	// the bytes longer retains them. Only wal modifies it: it fills in the head, in
	// front of the table of batches, which nobody else reads.
	Image *blockfs.Buffer
	// Batches counts the batches in the image, Length is its length without padding,
	// and Sum is the checksum of the batches; all are set with Image.
	Batches, Length int
	Sum             uint32
	// Position is where the image starts in the log, set by wal.
	Position partition.Position

	inOrder []*Append
}

// InOrder returns the appends that write, in the order of their batches in the
// image: that of Arrange, or else that of Writes. What Arrange found stays in the
// group, even if an append is settled with an error later.
func (g *Group) InOrder() []*Append {
	if g.inOrder == nil {
		return writing(g.Writes)
	}
	return g.inOrder
}

// Arrange makes the batches of a partition adjacent in the image, in sequenced
// order, so that they form one entry of the tail index. batch calls it when the
// group is complete, before it is shared.
func (g *Group) Arrange() {
	if g.inOrder = byPartition(writing(g.Writes)); g.inOrder == nil {
		g.inOrder = []*Append{}
	}
}

// Leave takes appends that are refused after Arrange out of the group.
func (g *Group) Leave(refused []*Append) {
	if len(refused) == 0 {
		return
	}
	out := make(map[*Append]bool, len(refused))
	for _, a := range refused {
		out[a] = true
	}
	g.inOrder = slices.DeleteFunc(slices.Clone(g.InOrder()), func(a *Append) bool { return out[a] })
}

func writing(writes []*Write) (all []*Append) {
	for _, w := range writes {
		for _, a := range w.Appends {
			if a.Writes() {
				all = append(all, a)
			}
		}
	}
	return all
}

// byPartition is a counting sort: partitions come in the order of their first
// append.
func byPartition(all []*Append) []*Append {
	if !slices.ContainsFunc(all, func(a *Append) bool { return a.Partition != all[0].Partition }) {
		return all
	}
	rank := make(map[topic.Partition]int)
	var next []int // position of the next append, by rank
	ranks := make([]int, len(all))
	for i, a := range all {
		r, ok := rank[a.Partition]
		if !ok {
			r = len(next)
			rank[a.Partition], next = r, append(next, 0)
		}
		ranks[i] = r
		next[r]++
	}
	at := 0
	for r, n := range next {
		next[r] = at
		at += n
	}
	out := make([]*Append, len(all))
	for i, a := range all {
		out[next[ranks[i]]] = a
		next[ranks[i]]++
	}
	return out
}
