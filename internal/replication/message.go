package replication

// Position is a follower's report of its log end to the leader. It acknowledges every record
// below End.
type Position struct {
	Broker      int32
	Incarnation uint64
	Epoch       int32 // the leader's epoch, as the follower knows it
	End         int64 // its log end
	LastEpoch   int32 // of the record before End, or NoEpoch
	// Hello asks the leader to send from End on, regardless of what it has sent before. Followers
	// send it at the start of an epoch or connection, and when records did not continue the log.
	Hello bool
}

// Records is the header of records sent by a leader. Without records (End equals Base) it only
// carries the high watermark.
type Records struct {
	Epoch         int32 // of the leader
	Base, End     int64 // offsets [Base, End)
	PrevEpoch     int32 // of the record before Base
	HighWatermark int64
}

// Divergence answers a Position whose last record is not in the leader's log.
type Divergence struct {
	Epoch int32 // of the leader
	// LastEpoch is the leader's largest epoch that is not above the follower's last, and End is
	// where it ends in the leader's log (KIP-320).
	LastEpoch int32
	End       int64
}

// Restart answers a Position below what the leader still has, or needs to send. Everything below
// Start is in objects; the follower empties its log and continues there.
type Restart struct {
	Epoch     int32 // of the leader
	Start     int64
	PrevEpoch int32 // of the record before Start
}

// Message is a message from one replica to another. Besides To, exactly one field is set.
type Message struct {
	To         int32
	Position   *Position
	Divergence *Divergence
	Restart    *Restart
}

// Acks says when an append is acknowledged.
type Acks int16

// The values of Produce's acks.
const (
	AcksNone   Acks = 0
	AcksLeader Acks = 1  // durable on the leader
	AcksAll    Acks = -1 // committed
)

// Lane tells the sequence stage whether it may append, and where.
type Lane struct {
	Open  bool
	Epoch int32 // stamped on every batch
	Next  int64 // offset of the next record
}

// Settlement is the outcome of a pending append. A nil Err acknowledges it.
type Settlement struct {
	Token uint64
	Err   error
}

// Effects lists what the driver has to do, in the order of the fields.
type Effects struct {
	Lane *Lane // the lane opens or closes
	// Truncate shortens the local log to this offset. The driver makes that durable, after
	// all earlier writes, and then calls Truncated.
	Truncate *int64
	// Restart empties the local log, which continues at this offset. The driver makes that
	// durable and then calls Truncated.
	Restart  *int64
	Visible  *int64 // the high watermark has risen to this
	Settled  []Settlement
	Messages []Message
	Propose  *ISRChange // to be proposed to the metadata
}
