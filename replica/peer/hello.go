package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the version of the layouts in this package, and least the lowest that it speaks.
const (
	Version uint16 = 1
	least   uint16 = 1
)

const (
	helloMagic = "SLUICERP"
	helloFixed = 8 + 2 + 2 + 8 + 4 + 4 + 8 + 8 + 2
	maxCluster = 256 // bytes of a cluster id
)

// hello is the first message in each direction. Its layout is the same in all versions; a later one
// may append fields, which earlier ones ignore.
//
//	at  size
//	 0     8  magic "SLUICERP"
//	 8     2  version: the highest that the sender speaks
//	10     2  the lowest that it speaks
//	12     8  feature bits; none is defined yet
//	20     4  broker: the sender
//	24     4  to: whom it believes it is talking to
//	28     8  incarnation of the sender
//	36     8  window: how many bytes of records it is ready to hold
//	44     2  length of the cluster id
//	46        cluster id
//
// All integers are little-endian, here and in frames.
type hello struct {
	version, least uint16
	features       uint64
	broker, to     int32
	incarnation    uint64
	window         int64
	cluster        string
}

func (h hello) append(b []byte) []byte {
	b = append(b, helloMagic...)
	b = binary.LittleEndian.AppendUint16(b, h.version)
	b = binary.LittleEndian.AppendUint16(b, h.least)
	b = binary.LittleEndian.AppendUint64(b, h.features)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.broker))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.to))
	b = binary.LittleEndian.AppendUint64(b, h.incarnation)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.window))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.cluster)))
	return append(b, h.cluster...)
}

func parseHello(b []byte) (h hello, err error) {
	if len(b) < helloFixed || string(b[:8]) != helloMagic {
		return h, errors.New("its first message is no Hello of replication between brokers")
	}
	le := binary.LittleEndian
	h.version, h.least, h.features = le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint64(b[12:])
	h.broker, h.to, h.incarnation = int32(le.Uint32(b[20:])), int32(le.Uint32(b[24:])), le.Uint64(b[28:])
	h.window = int64(le.Uint64(b[36:]))
	n := int(le.Uint16(b[44:]))
	rest := b[helloFixed:]
	switch {
	case h.least > h.version:
		return h, fmt.Errorf("its Hello says that it speaks the versions %d to %d", h.least, h.version)
	case n > maxCluster || n > len(rest) || h.version <= Version && n < len(rest):
		return h, fmt.Errorf("its Hello has %d bytes, which cannot be right", len(b))
	case h.broker < 0 || h.to < 0 || h.window <= 0:
		return h, fmt.Errorf("its Hello has a negative number: broker %d, to %d, window %d", h.broker, h.to, h.window)
	}
	h.cluster = string(rest[:n])
	return h, nil
}

// fits returns why two brokers cannot replicate, as told to the sender of h by the sender of
// own, or nil.
func (h hello) fits(own hello) error {
	switch {
	case h.version < own.least:
		return fmt.Errorf("broker %d speaks replication up to version %d, broker %d from version %d on; upgrade broker %d", h.broker, h.version, own.broker, own.least, h.broker)
	case h.least > own.version:
		return fmt.Errorf("broker %d speaks replication from version %d on, broker %d up to version %d; upgrade broker %d", h.broker, h.least, own.broker, own.version, own.broker)
	case h.cluster != own.cluster:
		return fmt.Errorf("broker %d is of cluster %q, broker %d of cluster %q; one of them has another cluster's data directory or address", h.broker, h.cluster, own.broker, own.cluster)
	case h.broker == own.broker:
		return fmt.Errorf("two brokers have the id %d; give one of them another", h.broker)
	case h.to != own.broker:
		return fmt.Errorf("this is broker %d, not %d; broker %d has registered a wrong internal address", own.broker, h.to, h.to)
	}
	return nil
}
