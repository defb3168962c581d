package fetch

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
)

// encoder writes the body of a Fetch response. Lengths are int32 or, in the compact form used
// since version 12, unsigned varints of n+1. T is the tagged fields that end each struct in
// that form. By version:
//
//	throttle ms int32
//	error int16, session id int32                     7+
//	topics [
//	  name string                                     4-12
//	  id 16 bytes                                     13+
//	  partitions [
//	    index int32, error int16
//	    high watermark int64, last stable int64
//	    log start int64                               5+
//	    aborted transactions []                       null for read_uncommitted, and on
//	                                                  errors of a known partition
//	    preferred replica int32                       11+
//	    records                                       length, then whole batches
//	    T: 0 diverging epoch int32, end int64, T      12+
//	       1 leader int32, leader epoch int32, T      12+
//	  ] T
//	]
//	T: 0 brokers [ id int32, host, port int32, rack, T ]  16+
type encoder struct {
	version  int16
	flexible bool // 12+
	b        []byte
	splices  []splice
}

// splice inserts segments after the first at bytes of b.
type splice struct {
	at       int
	segments [][]byte
}

// encode encodes the response. Record bytes are referenced, not copied.
func (p *poll) encode() net.Buffers {
	if p.session != nil && !p.full { // rotation and partial responses interleave topics
		slices.SortStableFunc(p.answers, func(a, b answer) int { return compare(a.slot.topic, b.slot.topic) })
	}
	e := newEncoder(p.asked.version, 64+len(p.answers)*80)
	id := int32(0)
	if p.session != nil {
		id = p.session.id
	}
	e.head(0, id)
	e.length(groups(p.answers))
	for i := 0; i < len(p.answers); {
		n := i + 1
		for n < len(p.answers) && *p.answers[n].slot.topic == *p.answers[i].slot.topic {
			n++
		}
		e.topic(p.answers[i].slot.topic, p.answers[i:n], p.asked.isolation)
		i = n
	}
	e.brokers(p.leaders())
	return e.buffers()
}

// refusal encodes the response to a request that is refused as a whole.
func refusal(version, code int16) net.Buffers {
	e := newEncoder(version, 32)
	e.head(code, 0)
	e.length(0)
	e.brokers(nil)
	return e.buffers()
}

// refuseEach encodes the response to an invalid request. It repeats the code for every
// partition, since clients of versions before 13 look there.
func refuseEach(req *kmsg.FetchRequest, code int16) net.Buffers {
	topics := req.Topics
	if req.Version >= 13 {
		topics = nil
	}
	e := newEncoder(req.Version, 64)
	e.head(code, req.SessionID)
	e.length(len(topics))
	for i := range topics {
		t := &topics[i]
		answers := make([]answer, len(t.Partitions))
		for j := range answers {
			answers[j] = noAnswer(&slot{index: t.Partitions[j].Partition})
			answers[j].code, answers[j].unknown = code, true
		}
		e.topic(&named{t.Topic, t.TopicID}, answers, req.IsolationLevel)
	}
	e.brokers(nil)
	return e.buffers()
}

func compare(a, b *named) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return slices.Compare(a.id[:], b.id[:])
}

// groups counts the runs of answers of one topic.
func groups(answers []answer) int {
	n := 0
	for i := range answers {
		if i == 0 || *answers[i].slot.topic != *answers[i-1].slot.topic {
			n++
		}
	}
	return n
}

// leaders returns the new leaders that answers redirect the client to (KIP-951).
func (p *poll) leaders() []meta.Broker {
	var out []meta.Broker
	for i := range p.answers {
		a := &p.answers[i]
		if a.leader < 0 || p.view == nil || slices.ContainsFunc(out, func(b meta.Broker) bool { return b.ID == a.leader }) {
			continue
		}
		for _, b := range p.view.Brokers {
			if b.ID == a.leader {
				out = append(out, b)
			}
		}
	}
	return out
}

func newEncoder(version int16, size int) *encoder {
	return &encoder{version: version, flexible: version >= 12, b: make([]byte, 0, size)}
}

func (e *encoder) head(code int16, session int32) {
	e.int32(0) // no throttling
	if e.version >= 7 {
		e.int16(code)
		e.int32(session)
	}
}

func (e *encoder) topic(t *named, answers []answer, isolation int8) {
	if e.version >= 13 {
		e.b = append(e.b, t.id[:]...)
	} else {
		e.string(t.name)
	}
	e.length(len(answers))
	for i := range answers {
		e.partition(&answers[i], isolation)
	}
	e.tags(0)
}

func (e *encoder) partition(a *answer, isolation int8) {
	e.int32(a.slot.index)
	e.int16(a.code)
	e.int64(a.hw)
	e.int64(a.stable)
	if e.version >= 5 {
		e.int64(a.logStart)
	}
	if a.unknown || isolation == readCommitted && a.code == 0 {
		e.length(0)
	} else {
		e.null()
	}
	if e.version >= 11 {
		e.int32(-1) // no preferred replica
	}
	e.records(a)
	if !e.flexible {
		return
	}
	redirected := a.leader >= 0
	e.tags(count(a.diverged) + count(redirected))
	if a.diverged {
		e.b = append(e.b, 0, 13)
		e.int32(a.divergedEpoch)
		e.int64(a.divergedEnd)
		e.tags(0)
	}
	if redirected {
		e.b = append(e.b, 1, 9)
		e.int32(a.leader)
		e.int32(a.leaderEpoch)
		e.tags(0)
	}
}

func (e *encoder) records(a *answer) {
	if a.read == nil || a.read.Bytes == 0 {
		e.length(0)
		return
	}
	e.length(a.read.Bytes)
	e.splices = append(e.splices, splice{len(e.b), a.read.Buffers})
}

// brokers ends the body with the endpoints of new leaders.
func (e *encoder) brokers(brokers []meta.Broker) {
	if e.version < 16 || len(brokers) == 0 {
		e.tags(0)
		return
	}
	field := &encoder{version: e.version, flexible: true}
	field.length(len(brokers))
	for _, b := range brokers {
		field.int32(b.ID)
		field.string(b.Host)
		field.int32(b.Port)
		if b.Rack == "" {
			field.null()
		} else {
			field.string(b.Rack)
		}
		field.tags(0)
	}
	e.tags(1)
	e.b = append(e.b, 0)
	e.b = binary.AppendUvarint(e.b, uint64(len(field.b)))
	e.b = append(e.b, field.b...)
}

// buffers returns the encoded bytes with the segments inserted.
func (e *encoder) buffers() net.Buffers {
	n := 1
	for _, c := range e.splices {
		n += 1 + len(c.segments)
	}
	out := make(net.Buffers, 0, n)
	from := 0
	for _, c := range e.splices {
		out = append(out, e.b[from:c.at:c.at])
		out = append(out, c.segments...)
		from = c.at
	}
	if from < len(e.b) {
		out = append(out, e.b[from:])
	}
	return out
}

func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

// length starts an array or bytes.
func (e *encoder) length(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
		return
	}
	e.int32(int32(n))
}

// null writes a null array, or a null string in flexible versions.
func (e *encoder) null() {
	if e.flexible {
		e.b = append(e.b, 0)
		return
	}
	e.int32(-1)
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(len(s))+1)
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

// tags starts n tagged fields.
func (e *encoder) tags(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n))
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
