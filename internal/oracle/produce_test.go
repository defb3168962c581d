//go:build oracle

package oracle

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Times (Unix ms) far from the clock of any test.
const (
	longAgo = 1_600_000_000_000
	farOff  = 4_000_000_000_000
)

func now() int64 { return time.Now().UnixMilli() }

// produce returns a request with batches for one partition.
func produce(topic string, id [16]byte, partition int32, acks int16, batches ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, []byte{}
	for _, b := range batches {
		part.Records = append(part.Records, b...)
	}
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	return req
}

// stored records the contents of a partition, to check that rejected batches were not stored and
// that accepted ones are stored as in Kafka.
func (p *play) stored(step, topic string, id [16]byte, partition int32) {
	p.do(step, fetch(topic, id, partition, 0))
}

// lab is a topic in which every send goes to a separate partition, so that a batch stored by only
// one of the brokers does not affect later ones.
type lab struct {
	p     *play
	topic string
	id    [16]byte
	next  int32
}

func newLab(p *play, name string, partitions int32, configs ...string) *lab {
	topic, id := p.topic(name, partitions, configs...)
	return &lab{p: p, topic: topic, id: id}
}

// send produces to the next partition and reads back its contents.
func (l *lab) send(step string, batches ...[]byte) {
	l.p.do(step, produce(l.topic, l.id, l.next, 1, batches...))
	l.p.stored(step+" > stored", l.topic, l.id, l.next)
	l.next++
}

func produceScenarios() []scenario {
	return []scenario{
		{"produce", 0, producePlain},
		{"produce-malformed", 0, produceMalformed},
		{"produce-records", 0, produceRecords},
		{"produce-compressed", 0, produceCompressed},
		{"produce-decompressed", 0, produceDecompressed},
		{"produce-compacted", 0, produceCompacted},
		{"produce-times", 0, produceTimes},
		{"produce-time-bounds", 0, produceTimeBounds},
		{"produce-idempotent", 0, produceIdempotent},
		{"produce-min-isr", 0, produceMinISR},
		{"produce-unsupported", 0, produceUnsupported},
		{"producer-id", 22, producerIDs},
	}
}

// produceMinISR: a topic asks for more replicas in sync than it has.
func produceMinISR(p *play) {
	topic, id := p.topic("t", 1, "min.insync.replicas", "2")
	p.do("acks all", produce(topic, id, 0, -1, batch(now(), val("a"))))
	p.do("acks 1", produce(topic, id, 0, 1, batch(now(), val("b"))))
	p.unanswered("acks 0", produce(topic, id, 0, 0, batch(now(), val("c"))))
	p.do("acks all again", produce(topic, id, 0, -1, batch(now(), val("d"))))
	p.stored("stored", topic, id, 0)
}

func producePlain(p *play) {
	topic, id := p.topic("t", 3, "max.message.bytes", "2000")
	p.do("one record", produce(topic, id, 0, -1, batch(now(), val("a"))))
	p.do("three records", produce(topic, id, 0, 1, batch(now(), val("a"), keyed("k", "b"), rec{})))
	p.do("headers", produce(topic, id, 0, 1, batch(now(), rec{value: []byte("v"), headers: [][2]string{{"h", "1"}, {"h", "2"}, {"", ""}}})))
	p.do("empty key and value", produce(topic, id, 0, 1, batch(now(), keyed("", ""))))
	p.do("offset in the batch", produce(topic, id, 2, 1, with(batch(now(), val("a")), put64(0, 77))))
	p.do("epoch in the batch", produce(topic, id, 0, 1, with(batch(now(), val("a")), put32(12, 9))))
	p.do("acks 2", produce(topic, id, 0, 2, batch(now(), val("a"))))
	p.do("acks -2", produce(topic, id, 0, -2, batch(now(), val("a"))))
	p.do("unknown partition", produce(topic, id, 7, 1, batch(now(), val("a"))))
	p.do("negative partition", produce(topic, id, -1, 1, batch(now(), val("a"))))
	p.do("unknown topic", produce(p.name("nobody"), [16]byte{1, 2, 3}, 0, 1, batch(now(), val("a"))))
	p.do("too large", produce(topic, id, 1, 1, batch(now(), val(strings.Repeat("x", 3000)))))
	p.unanswered("acks 0", produce(topic, id, 0, 0, batch(now(), val("silent"))))
	p.unanswered("acks 0, unknown partition", produce(topic, id, 9, 0, batch(now(), val("silent"))))
	none := produce(topic, id, 0, 1)
	none.Topics = []kmsg.ProduceRequestTopic{}
	p.do("no topics", none)
	two := produce(topic, id, 0, 1, batch(now(), val("first")))
	two.Topics[0].Partitions = append(two.Topics[0].Partitions, produce(topic, id, 1, 1, batch(now(), val("second"))).Topics[0].Partitions...)
	p.do("two partitions", two)
	mixed := produce(topic, id, 0, 1, batch(now(), val("good")))
	mixed.Topics[0].Partitions = append(mixed.Topics[0].Partitions, produce(topic, id, 8, 1, batch(now(), val("bad"))).Topics[0].Partitions...)
	p.do("one of two partitions is unknown", mixed)
	p.stored("stored", topic, id, 0)
	p.stored("stored in the second", topic, id, 1)
}

// produceMalformed sends batches with an invalid header. All are small, and none declares a size that
// would make a broker allocate a lot of memory.
func produceMalformed(p *play) {
	send := newLab(p, "t", 32).send
	good := func() []byte { return batch(now(), val("aaaa"), val("bbbb")) }
	crc := good()
	crc[atRecords+6] ^= 1
	send("wrong CRC", crc)
	send("no batch")
	send("two batches", good(), good())
	send("more records counted", with(good(), put32(atCount, 3)))
	send("fewer records counted", with(good(), put32(atCount, 1)))
	send("no records counted", with(good(), put32(atCount, 0)))
	send("negative count", with(good(), put32(atCount, -1)))
	send("last offset delta too high", with(good(), put32(atLastDelta, 5)))
	send("last offset delta too low", with(good(), put32(atLastDelta, 0)))
	send("last offset delta negative", with(good(), put32(atLastDelta, -1)))
	send("magic 3", with(good(), func(b []byte) { b[atMagic] = 3 }))
	send("magic -1", with(good(), func(b []byte) { b[atMagic] = 0xff }))
	send("unknown codec", with(good(), put16(atAttribute, 5)))
	send("codec 7", with(good(), put16(atAttribute, 7)))
	send("control bit", with(good(), put16(atAttribute, 1<<5)))
	send("transactional bit", with(good(), put16(atAttribute, 1<<4)))
	send("delete horizon bit", with(good(), put16(atAttribute, 1<<6)))
	send("unused bits", with(good(), put16(atAttribute, 1<<9)))
	send("half a header", good()[:40])
	send("less than a size", good()[:10])
	short := good()
	send("half a batch", short[:len(short)-4])
	long := append(good(), 0, 0, 0, 0)
	send("bytes after the batch", long)
	send("bytes after the records", seal(append(good(), 0, 0, 0)))
	size := good()
	put32(atLength, 10)(size)
	send("length too small", size)
	size = good()
	put32(atLength, -5)(size)
	send("length negative", size)
	size = good()
	put32(atLength, 5000)(size)
	send("length too large", size)
	send("empty batch", framed(0, now(), 0, nil, nil))
	send("message v1", messageV1(now(), "old"))
}

// produceRecords sends batches with a valid header around invalid records.
func produceRecords(p *play) {
	send := newLab(p, "t", 20).send
	raw := func(count int, body ...byte) []byte { return framed(0, now(), count, nil, body) }
	send("offset deltas with a gap", with(batch(now(), val("a"), rec{value: []byte("b"), delta: 1}), put32(atLastDelta, 2)))
	send("offset delta twice", batch(now(), val("a"), rec{value: []byte("b"), delta: -1}))
	send("offset delta negative", batch(now(), rec{value: []byte("b"), delta: -1}))
	send("offset deltas from one", with(batch(now(), rec{value: []byte("b"), delta: 1}), put32(atLastDelta, 1)))
	send("record longer than the batch", raw(1, 40, 0, 0, 0, 1, 2, 'a', 0))
	send("record shorter than its fields", raw(1, 8, 0, 0, 0, 1, 2, 'a', 0))
	send("record with bytes after its fields", raw(1, 18, 0, 0, 0, 1, 2, 'a', 0, 0, 0))
	send("key longer than the record", raw(1, 14, 0, 0, 0, 60, 2, 'a', 0))
	send("value longer than the record", raw(1, 14, 0, 0, 0, 1, 60, 'a', 0))
	send("negative header count", raw(1, 14, 0, 0, 0, 1, 2, 'a', 1))
	send("headers counted that are not there", raw(1, 14, 0, 0, 0, 1, 2, 'a', 4))
	send("header key null", raw(1, 18, 0, 0, 0, 1, 2, 'a', 2, 1, 1))
	send("record length negative", raw(1, 1, 0, 0, 0, 1, 2, 'a', 0))
	send("record length zero", raw(1, 0))
	send("record attributes", raw(1, 14, 9, 0, 0, 1, 2, 'a', 0))
	send("key length -2", raw(1, 14, 0, 0, 0, 3, 2, 'a', 0))
	send("second record wrong", raw(2, 14, 0, 0, 0, 1, 2, 'a', 0, 14, 0, 0, 2, 1, 60, 'b', 0))
}

// messageV1 returns one v1 message, the format before record batches.
func messageV1(ms int64, value string) []byte {
	body := append([]byte{1, 0}, make([]byte, 8)...)
	put64(2, ms)(body)
	body = append(body, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, byte(len(value)))
	body = append(body, value...)
	out := make([]byte, 16, 16+len(body))
	put32(8, int32(4+len(body)))(out)
	put32(12, int32(ieee(body)))(out)
	return append(out, body...)
}

// compressed returns a batch whose records are compressed with a codec.
func compressed(codec int16, recs ...rec) []byte {
	var b bytes.Buffer
	body := encodeRecords(recs)
	switch codec {
	case 1:
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body) // writes to a bytes.Buffer cannot fail
		_ = w.Close()
	case 2: // in the framing of the Java library
		block := snappy.Encode(nil, body)
		b.WriteString("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
		_ = binary.Write(&b, binary.BigEndian, uint32(len(block)))
		b.Write(block)
	case 3:
		w := lz4.NewWriter(&b)
		_, _ = w.Write(body)
		_ = w.Close()
	case 4:
		w, err := zstd.NewWriter(&b)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
		_ = w.Close()
	}
	return framed(codec, now(), len(recs), recs, b.Bytes())
}

func produceCompressed(p *play) {
	loose, strict := newLab(p, "t", 28), newLab(p, "compacted", 4, "cleanup.policy", "compact")
	for _, codec := range []int16{1, 2, 3, 4} {
		name := map[int16]string{1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}[codec]
		send := func(step string, b []byte) { loose.send(name+": "+step, b) }
		send("good", compressed(codec, val("a"), val("b")))
		send("more records counted", with(compressed(codec, val("a"), val("b")), put32(atCount, 3)))
		send("fewer records counted", with(compressed(codec, val("a"), val("b")), put32(atCount, 1)))
		send("last offset delta too high", with(compressed(codec, val("a"), val("b")), put32(atLastDelta, 7)))
		send("offset deltas with a gap", with(compressed(codec, val("a"), rec{value: []byte("b"), delta: 1}), put32(atLastDelta, 2)))
		plain := batch(now(), val("not packed"), val("at all"))
		send("not packed", with(plain, put16(atAttribute, codec)))
		cut := compressed(codec, val("a"), val("b"))
		send("cut short", seal(cut[:len(cut)-6]))
		strict.send(name+": no key on a compacted topic", compressed(codec, keyed("k", "a"), val("b")))
	}
}

// produceDecompressed sends compressed records around max.decompressed.message.bytes.
func produceDecompressed(p *play) {
	l := newLab(p, "bounded", 9, "max.decompressed.message.bytes", "100")
	long := strings.Repeat("x", 200)
	for _, codec := range []int16{1, 4} {
		name := map[int16]string{1: "gzip", 4: "zstd"}[codec]
		for _, n := range []int{93, 94, 95} { // a record takes 6 bytes plus its value, and one more from 64 bytes
			l.send(fmt.Sprintf("%s: a value of %d bytes", name, n), compressed(codec, val(long[:n])))
		}
		l.send(name+": the second is large", compressed(codec, val("a"), val(long), val("b")))
	}
	l.send("plain", batch(now(), val(long)))
}

func produceCompacted(p *play) {
	for _, policy := range []string{"compact", "compact,delete"} {
		l := newLab(p, strings.ReplaceAll(policy, ",", "-"), 5, "cleanup.policy", policy)
		send := func(step string, b []byte) { l.send(policy+": "+step, b) }
		send("key", batch(now(), keyed("k", "a")))
		send("empty key", batch(now(), keyed("", "a")))
		send("no key", batch(now(), val("a")))
		send("second without key", batch(now(), keyed("k", "a"), val("b"), keyed("k", "c"), val("d")))
		send("tombstone", batch(now(), rec{key: []byte("k")}))
	}
}

// produceUnsupported sends versions that neither broker serves, once.
func produceUnsupported(p *play) {
	topic, id := p.topic("t", 1)
	if p.version != 9 {
		return
	}
	for _, v := range []int16{0, 1, 2, 14} {
		p.at(fmt.Sprintf("version %d", v), v, produce(topic, id, 0, 1, batch(now(), val("a"))))
	}
	p.stored("stored", topic, id, 0)
}

func producerIDs(p *play) {
	p.do("new", kmsg.NewPtrInitProducerIDRequest())
	again := kmsg.NewPtrInitProducerIDRequest()
	again.ProducerID, again.ProducerEpoch = 5, 3
	p.do("old id", again)
	half := kmsg.NewPtrInitProducerIDRequest()
	half.ProducerID = 5
	p.do("id without epoch", half)
	empty := kmsg.NewPtrInitProducerIDRequest()
	empty.TransactionalID = kmsg.StringPtr("")
	empty.TransactionTimeoutMillis = 1000
	p.do("empty transactional id", empty)
	long := kmsg.NewPtrInitProducerIDRequest()
	long.TransactionalID = kmsg.StringPtr(p.name("tx"))
	long.TransactionTimeoutMillis = 1 << 30
	p.do("timeout too long", long)
	none := kmsg.NewPtrInitProducerIDRequest()
	none.TransactionalID = kmsg.StringPtr(p.name("tx"))
	p.do("timeout 0", none)
}
