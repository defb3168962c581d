package replication

// Position is what a follower tells its leader: where its log ends. It acknowledges
// every record below End.
type Position struct {
	Broker      int32
	Incarnation uint64
	Epoch       int32 // in which it follows
	End         int64 // its log end; durable
	LastEpoch   int32 // of the record before End, or NoEpoch
	// Hello asks the leader to send from End on, whatever it has sent before: at the beginning
	// of an epoch and of a connection, and when records did not continue the log.
	Hello bool
}

// Records is the head of records that a leader sends. Without records (End is Base) it
// tells the high watermark only.
type Records struct {
	Epoch         int32 // of the leader
	Base, End     int64 // offsets [Base, End)
	PrevEpoch     int32 // of the record before Base
	HighWatermark int64
}

// Divergence answers a Position whose last record the leader does not have.
type Divergence struct {
	Epoch int32 // of the leader
	// LastEpoch is the leader's largest epoch at or below the follower's last, and End is
	// where it ends in the leader's log (KIP-320).
	LastEpoch int32
	End       int64
}

// Restart answers a Position below what the leader has, or needs to send: everything below
// Start is in objects, and the follower's log begins there anew.
type Restart struct {
	Epoch     int32 // of the leader
	Start     int64
	PrevEpoch int32 // of the record before Start
}

// Message is what one replica tells another; exactly one field is set.
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

// Lane tells the sequence stage whether, and how, it may append.
type Lane struct {
	Open  bool
	Epoch int32 // stamped on every batch
	Next  int64 // offset of the next record
}

// Settlement is the verdict on an append that waited. A nil Err acknowledges it.
type Settlement struct {
	Token uint64
	Err   error
}

// Effects is what a driver has to do after events, in the order of the fields.
type Effects struct {
	Lane *Lane // the lane opens or closes
	// Truncate asks for the local log to end at this offset. The driver makes that
	// durable, behind all writes before it, and reports Truncated.
	Truncate *int64
	// Restart asks for an empty local log that continues at this offset. The driver makes
	// that durable and reports Truncated.
	Restart  *int64
	Visible  *int64 // the high watermark has risen to this
	Settled  []Settlement
	Messages []Message
	Propose  *ISRChange // to the metadata
}
