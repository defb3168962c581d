package feed

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/consensus/quorum"
)

// Version is the version of the layouts in this package. Both sides must have the same.
const Version uint16 = 2

// All integers are little-endian. Each call begins with a hello of the broker. In Propose and
// ReadIndex the request follows it in the same message.
//
//	hello                                  welcome, the controller's first message of a stream
//	 at  size                               at  size
//	  0     8  magic "SLUICEFD"              0     8  magic "SLUICEFD"
//	  8     2  version                       8     2  version
//	 10     4  broker                       10     4  controller
//	 14     8  incarnation, 0: none yet     14     2  partition shards
//	 22     1  length of the cluster id     16     1  length of the cluster id
//	 23        cluster id, empty: none yet  17        cluster id
//
//	Propose    hello, shard 2, command     reply: index 8, result
//	ReadIndex  hello, shard 2              reply: index 8
//
// After hello and welcome, each message of a stream begins with its kind, one byte:
//
//	1  Heartbeat  number 8; a reply has the number that it replies to
//	2  Subscribe  shard 2, token 4, after: index 8, sum 8
//	3  Entries    shard 2, token 4, then for each: index 8, length 4, command
//	4  Snapshot   shard 2, token 4, index 8, sum 8, length of all pieces 8, from 8, piece
//	5  Failed     shard 2, token 4, reason 1 (1: not here, 2: behind the subscriber), text
//
// Subscribe is sent by brokers, Entries, Snapshot and Failed by controllers, Heartbeat by both in a
// Session and by controllers in Follow. A token is chosen by the subscriber and repeated in all that
// belongs to the subscription.
type kind byte

const (
	kindHeartbeat kind = 1 + iota
	kindSubscribe
	kindEntries
	kindSnapshot
	kindFailed
)

// Reasons of Failed.
const (
	reasonNotHere byte = 1 + iota
	reasonBehind
)

const (
	magic        = "SLUICEFD"
	maxClusterID = 255
	helloFixed   = 23
	welcomeFixed = 17
	shardFixed   = 1 + 2 + 4
)

var errMessage = errors.New("a message that is too short or too long for its kind")

// hello says who calls.
type hello struct {
	broker      int32
	incarnation uint64
	cluster     string
}

func (h hello) append(b []byte) []byte {
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.broker))
	b = binary.LittleEndian.AppendUint64(b, h.incarnation)
	b = append(b, byte(len(h.cluster)))
	return append(b, h.cluster...)
}

// parseHello returns a hello and what follows it.
func parseHello(b []byte) (h hello, rest []byte, err error) {
	if err := checkVersion(b, "broker"); err != nil {
		return h, nil, err
	}
	if len(b) < helloFixed || len(b) < helloFixed+int(b[22]) {
		return h, nil, errMessage
	}
	h.broker = int32(binary.LittleEndian.Uint32(b[10:]))
	h.incarnation = binary.LittleEndian.Uint64(b[14:])
	h.cluster = string(b[helloFixed : helloFixed+int(b[22])])
	if h.broker < 0 {
		return h, nil, fmt.Errorf("broker %d cannot be", h.broker)
	}
	return h, b[helloFixed+int(b[22]):], nil
}

// checkVersion is the first look at a peer's message.
func checkVersion(b []byte, peer string) error {
	if len(b) < len(magic)+2 || string(b[:len(magic)]) != magic {
		return errors.New("the first message is not one of the metadata feed; check the port in the address")
	}
	if v := binary.LittleEndian.Uint16(b[len(magic):]); v != Version {
		return fmt.Errorf("the %s has version %d of the metadata feed, and this is version %d; use the same release of Sluice on both", peer, v, Version)
	}
	return nil
}

// welcome says who answers.
type welcome struct {
	controller int32
	shards     int
	cluster    string
}

func (w welcome) append(b []byte) []byte {
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint32(b, uint32(w.controller))
	b = binary.LittleEndian.AppendUint16(b, uint16(w.shards))
	b = append(b, byte(len(w.cluster)))
	return append(b, w.cluster...)
}

func parseWelcome(b []byte) (w welcome, err error) {
	if err := checkVersion(b, "controller"); err != nil {
		return w, err
	}
	if len(b) < welcomeFixed || len(b) != welcomeFixed+int(b[16]) {
		return w, errMessage
	}
	w.controller = int32(binary.LittleEndian.Uint32(b[10:]))
	w.shards = int(binary.LittleEndian.Uint16(b[14:]))
	w.cluster = string(b[welcomeFixed:])
	return w, nil
}

// request is that of Propose and, without a command, of ReadIndex.
type request struct {
	hello hello
	shard int
	cmd   []byte
}

func (r request) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(r.hello.append(b), uint16(r.shard))
	return append(b, r.cmd...)
}

func parseRequest(b []byte) (r request, err error) {
	h, rest, err := parseHello(b)
	if err != nil {
		return r, err
	}
	if len(rest) < 2 {
		return r, errMessage
	}
	return request{hello: h, shard: int(binary.LittleEndian.Uint16(rest)), cmd: rest[2:]}, nil
}

func appendReply(b []byte, index uint64, result []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(b, index), result...)
}

func parseReply(b []byte) (index uint64, result []byte, err error) {
	if len(b) < 8 {
		return 0, nil, errMessage
	}
	return binary.LittleEndian.Uint64(b), b[8:], nil
}

// message is one of a stream. Fields that a kind does not have are zero.
type message struct {
	kind    kind
	number  uint64 // of a Heartbeat
	shard   int
	token   uint32
	at      quorum.Position // of a Snapshot, and where the sender of Subscribe is
	entries []quorum.Entry
	total   uint64 // of Snapshot
	from    uint64
	piece   []byte
	reason  byte // of Failed
	text    string
}

func (m message) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(m.kind))
	if m.kind == kindHeartbeat {
		return le.AppendUint64(b, m.number)
	}
	b = le.AppendUint32(le.AppendUint16(b, uint16(m.shard)), m.token)
	switch m.kind {
	case kindSubscribe:
		b = le.AppendUint64(le.AppendUint64(b, m.at.Index), m.at.Sum)
	case kindEntries:
		for _, e := range m.entries {
			b = le.AppendUint32(le.AppendUint64(b, e.Index), uint32(len(e.Cmd)))
			b = append(b, e.Cmd...)
		}
	case kindSnapshot:
		b = le.AppendUint64(le.AppendUint64(b, m.at.Index), m.at.Sum)
		b = le.AppendUint64(le.AppendUint64(b, m.total), m.from)
		b = append(b, m.piece...)
	case kindFailed:
		b = append(append(b, m.reason), m.text...)
	}
	return b
}

// parseMessage returns a message that refers to b.
func parseMessage(b []byte) (m message, err error) {
	le := binary.LittleEndian
	if len(b) == 0 {
		return m, errMessage
	}
	m.kind = kind(b[0])
	if m.kind == kindHeartbeat {
		if len(b) != 9 {
			return m, errMessage
		}
		m.number = le.Uint64(b[1:])
		return m, nil
	}
	if len(b) < shardFixed {
		return m, errMessage
	}
	m.shard, m.token = int(le.Uint16(b[1:])), le.Uint32(b[3:])
	return m, m.parseBody(b[shardFixed:])
}

func (m *message) parseBody(b []byte) error {
	le := binary.LittleEndian
	switch m.kind {
	case kindSubscribe:
		if len(b) != 16 {
			return errMessage
		}
		m.at = quorum.Position{Index: le.Uint64(b), Sum: le.Uint64(b[8:])}
	case kindEntries:
		return m.parseEntries(b)
	case kindSnapshot:
		if len(b) < 32 {
			return errMessage
		}
		m.at = quorum.Position{Index: le.Uint64(b), Sum: le.Uint64(b[8:])}
		m.total, m.from, m.piece = le.Uint64(b[16:]), le.Uint64(b[24:]), b[32:]
	case kindFailed:
		if len(b) < 1 {
			return errMessage
		}
		m.reason, m.text = b[0], string(b[1:])
	default:
		return fmt.Errorf("a message of the unknown kind %d", m.kind)
	}
	return nil
}

func (m *message) parseEntries(b []byte) error {
	le := binary.LittleEndian
	for last := uint64(0); len(b) > 0; {
		if len(b) < 12 || uint64(len(b)-12) < uint64(le.Uint32(b[8:])) {
			return errMessage
		}
		e := quorum.Entry{Index: le.Uint64(b)}
		n := 12 + int(le.Uint32(b[8:]))
		e.Cmd, b = b[12:n:n], b[n:]
		if e.Index <= last {
			return fmt.Errorf("the entry at index %d after that at %d", e.Index, last)
		}
		last = e.Index
		m.entries = append(m.entries, e)
	}
	return nil
}
