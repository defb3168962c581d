package peer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// After the Hellos, each gRPC message is a frame:
//
//	size
//	   4  length of the head
//	      head: items, one after another
//	      batches: those of the head's Records, in the same order, without gaps
//
// An item begins with its kind, one byte. An item about a partition continues with the topic id
// (16) and the partition (4). Then:
//
//	kind
//	  1  Ping         token 8
//	  2  Pong         token 8, of the Ping that it answers
//	  3  Credit       bytes 8, of frames with records that the follower no longer holds
//	  4  Position     epoch 4, log end 8, epoch of the record before it 4, flags 1 (1: Hello)
//	  5  Divergence   epoch 4, largest epoch in common 4, its end 8
//	  6  Restart      epoch 4, start 8, epoch of the record before it 4
//	  7  Records      epoch 4, base 8, end 8, epoch of the record before base 4, high watermark 8,
//	                  bytes of the batches 4
//
// The follower sends Pings, Pongs, Credits and Positions, the leader Pings, Pongs, Divergences,
// Restarts and Records. Broker and incarnation of a Position are those of the stream's Hello.
type kind byte

const (
	kindPing kind = 1 + iota
	kindPong
	kindCredit
	kindPosition
	kindDivergence
	kindRestart
	kindRecords
	kinds
)

// sizes has the size of each kind of item, after its first byte.
var sizes = [kinds]int{kindPing: 8, kindPong: 8, kindCredit: 8, kindPosition: 37, kindDivergence: 36, kindRestart: 36, kindRecords: 56}

var names = [kinds]string{"", "Ping", "Pong", "Credit", "Position", "Divergence", "Restart", "Records"}

const (
	headLength   = 4
	flagHello    = 1
	ofPartitions = kindPosition // this kind and those above it name a partition
)

// sent lists the kinds that each side sends.
var sent = map[bool][kinds]bool{ // by whether the sender leads
	false: {kindPing: true, kindPong: true, kindCredit: true, kindPosition: true},
	true:  {kindPing: true, kindPong: true, kindDivergence: true, kindRestart: true, kindRecords: true},
}

// item is one message.
type item struct {
	kind      kind
	number    uint64 // of a Ping, Pong or Credit
	partition topic.Partition

	position   replication.Position
	divergence replication.Divergence
	restart    replication.Restart
	records    replication.Records
	size       int // bytes of the batches
	flags      byte
}

func (it *item) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(it.kind))
	if it.kind < ofPartitions {
		return le.AppendUint64(b, it.number)
	}
	b = append(b, it.partition.Topic[:]...)
	b = le.AppendUint32(b, uint32(it.partition.Index))
	switch it.kind {
	case kindPosition:
		p := &it.position
		b = le.AppendUint32(b, uint32(p.Epoch))
		b = le.AppendUint64(b, uint64(p.End))
		b = le.AppendUint32(b, uint32(p.LastEpoch))
		flags := byte(0)
		if p.Hello {
			flags = flagHello
		}
		return append(b, flags)
	case kindDivergence:
		d := &it.divergence
		b = le.AppendUint32(b, uint32(d.Epoch))
		b = le.AppendUint32(b, uint32(d.LastEpoch))
		return le.AppendUint64(b, uint64(d.End))
	case kindRestart:
		r := &it.restart
		b = le.AppendUint32(b, uint32(r.Epoch))
		b = le.AppendUint64(b, uint64(r.Start))
		return le.AppendUint32(b, uint32(r.PrevEpoch))
	}
	r := &it.records
	b = le.AppendUint32(b, uint32(r.Epoch))
	b = le.AppendUint64(b, uint64(r.Base))
	b = le.AppendUint64(b, uint64(r.End))
	b = le.AppendUint32(b, uint32(r.PrevEpoch))
	b = le.AppendUint64(b, uint64(r.HighWatermark))
	return le.AppendUint32(b, uint32(it.size))
}

// cursor reads the items of a frame. It allocates nothing.
type cursor struct {
	head, data []byte
}

func parseFrame(b []byte) (c cursor, err error) {
	if len(b) < headLength {
		return c, fmt.Errorf("a frame of %d bytes has no head", len(b))
	}
	n, rest := binary.LittleEndian.Uint32(b), b[headLength:]
	if uint64(n) > uint64(len(rest)) {
		return c, fmt.Errorf("a frame of %d bytes cannot have a head of %d", len(b), n)
	}
	return cursor{rest[:n], rest[n:]}, nil
}

// next returns the next item, with the batches of Records, or false at the end.
func (c *cursor) next(it *item) (batches []byte, ok bool, err error) {
	if len(c.head) == 0 {
		if len(c.data) > 0 {
			err = fmt.Errorf("a frame has %d bytes that belong to no item", len(c.data))
		}
		return nil, false, err
	}
	k := kind(c.head[0])
	if k == 0 || k >= kinds {
		return nil, false, fmt.Errorf("a frame has an item of kind %d, which does not exist", k)
	}
	if len(c.head) < 1+sizes[k] {
		return nil, false, fmt.Errorf("a frame ends within a %s", names[k])
	}
	*it = item{kind: k}
	it.read(c.head[1 : 1+sizes[k]])
	c.head = c.head[1+sizes[k]:]
	if err := it.check(len(c.data)); err != nil {
		return nil, false, fmt.Errorf("%s of %s: %w", names[k], it.partition, err)
	}
	batches, c.data = c.data[:it.size:it.size], c.data[it.size:]
	return batches, true, nil
}

func (it *item) read(b []byte) {
	le := binary.LittleEndian
	if it.kind < ofPartitions {
		it.number = le.Uint64(b)
		return
	}
	copy(it.partition.Topic[:], b)
	it.partition.Index = int32(le.Uint32(b[16:]))
	b = b[20:]
	epoch := int32(le.Uint32(b))
	switch it.kind {
	case kindPosition:
		it.position = replication.Position{Epoch: epoch, End: int64(le.Uint64(b[4:])), LastEpoch: int32(le.Uint32(b[12:])), Hello: b[16]&flagHello != 0}
		it.flags = b[16]
	case kindDivergence:
		it.divergence = replication.Divergence{Epoch: epoch, LastEpoch: int32(le.Uint32(b[4:])), End: int64(le.Uint64(b[8:]))}
	case kindRestart:
		it.restart = replication.Restart{Epoch: epoch, Start: int64(le.Uint64(b[4:])), PrevEpoch: int32(le.Uint32(b[12:]))}
	case kindRecords:
		it.records = replication.Records{Epoch: epoch, Base: int64(le.Uint64(b[4:])), End: int64(le.Uint64(b[12:])),
			PrevEpoch: int32(le.Uint32(b[20:])), HighWatermark: int64(le.Uint64(b[24:]))}
		it.size = int(le.Uint32(b[32:]))
	}
}

// check returns an error if the values make no sense whatever the partition is. data is how many
// bytes of batches are left in the frame.
func (it *item) check(data int) error {
	epoch, last, from, to := int32(0), int32(0), int64(0), int64(0)
	switch it.kind {
	case kindPosition:
		epoch, last, to = it.position.Epoch, it.position.LastEpoch, it.position.End
	case kindDivergence:
		epoch, last, to = it.divergence.Epoch, it.divergence.LastEpoch, it.divergence.End
	case kindRestart:
		epoch, last, to = it.restart.Epoch, it.restart.PrevEpoch, it.restart.Start
	case kindRecords:
		epoch, last, from, to = it.records.Epoch, it.records.PrevEpoch, it.records.Base, it.records.End
		if it.records.HighWatermark < 0 {
			return errors.New("its high watermark is negative")
		}
	}
	switch {
	case it.flags&^flagHello != 0:
		return fmt.Errorf("its flags are %#x", it.flags)
	case it.partition.Index < 0:
		return errors.New("its partition is negative")
	case epoch < 0 || last < replication.NoEpoch:
		return errors.New("an epoch is negative")
	case from < 0 || from > to:
		return fmt.Errorf("offsets from %d to %d make no sense", from, to)
	case it.size > data:
		return fmt.Errorf("its batches have %d bytes, of which the frame has %d", it.size, data)
	case it.size > 0 != (from < to) && it.kind == kindRecords:
		return fmt.Errorf("it has %d offsets in %d bytes of batches", to-from, it.size)
	}
	return nil
}
