//go:build oracle

package oracle

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Offsets of the fields in a record batch.
const (
	atLength    = 8
	atMagic     = 16
	atCRC       = 17
	atAttribute = 21
	atLastDelta = 23
	atFirstTime = 27
	atMaxTime   = 35
	atProducer  = 43
	atEpoch     = 51
	atSequence  = 53
	atCount     = 57
	atRecords   = 61
)

// rec is a record. A nil key or value is null.
type rec struct {
	key, value []byte
	time       int64 // ms after the batch's first timestamp
	headers    [][2]string
	delta      int64 // added to its index to get the offset delta
}

// val returns a record without a key.
func val(s string) rec { return rec{value: []byte(s)} }

// keyed returns a record with a key.
func keyed(k, v string) rec { return rec{key: []byte(k), value: []byte(v)} }

func appendBytes(b, s []byte) []byte {
	if s == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

func encodeRecords(recs []rec) (out []byte) {
	for i, r := range recs {
		body := []byte{0}
		body = binary.AppendVarint(body, r.time)
		body = binary.AppendVarint(body, int64(i)+r.delta)
		body = appendBytes(body, r.key)
		body = appendBytes(body, r.value)
		body = binary.AppendVarint(body, int64(len(r.headers)))
		for _, h := range r.headers {
			body = appendBytes(appendBytes(body, []byte(h[0])), []byte(h[1]))
		}
		out = append(binary.AppendVarint(out, int64(len(body))), body...)
	}
	return out
}

// batch returns a v2 batch without a producer id, whose first timestamp is first (Unix ms).
func batch(first int64, recs ...rec) []byte {
	return framed(0, first, len(recs), recs, encodeRecords(recs))
}

func framed(attributes int16, first int64, count int, recs []rec, body []byte) []byte {
	b := make([]byte, atRecords, atRecords+len(body))
	binary.BigEndian.PutUint32(b[12:], 0xffffffff) // leader epoch -1
	b[atMagic] = 2
	latest := first
	for _, r := range recs {
		latest = max(latest, first+r.time)
	}
	binary.BigEndian.PutUint16(b[atAttribute:], uint16(attributes))
	binary.BigEndian.PutUint32(b[atLastDelta:], uint32(count-1))
	binary.BigEndian.PutUint64(b[atFirstTime:], uint64(first))
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(latest))
	binary.BigEndian.PutUint64(b[atProducer:], ^uint64(0))
	binary.BigEndian.PutUint16(b[atEpoch:], 0xffff)
	binary.BigEndian.PutUint32(b[atSequence:], 0xffffffff)
	binary.BigEndian.PutUint32(b[atCount:], uint32(count))
	return seal(append(b, body...))
}

// from sets the producer id, epoch and sequence of b.
func from(id int64, epoch int16, sequence int32, b []byte) []byte {
	binary.BigEndian.PutUint64(b[atProducer:], uint64(id))
	binary.BigEndian.PutUint16(b[atEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(b[atSequence:], uint32(sequence))
	return seal(b)
}

// seal fills in the length and the CRC.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttribute:], castagnoli))
	return b
}

// with modifies a batch and reseals it.
func with(b []byte, change func([]byte)) []byte {
	change(b)
	return seal(b)
}

func put16(at int, v int16) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint16(b[at:], uint16(v)) }
}

func put32(at int, v int32) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
}

func put64(at int, v int64) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }
}

// batches flattens the batches of a fetch response. Their CRC depends on the current time, so it
// is verified but not compared.
func (a *aliases) batches(leaves map[string]string, path string, raw []byte) {
	leaves[path] = "batches"
	for len(raw) >= atRecords {
		length := 12 + int(int32(binary.BigEndian.Uint32(raw[atLength:])))
		if length < atRecords || length > len(raw) {
			break
		}
		var b kmsg.RecordBatch
		if err := b.ReadFrom(raw[:length]); err != nil {
			leaves[path+".error"] = err.Error()
			return
		}
		at := fmt.Sprintf("%s[%d]", path, b.FirstOffset)
		leaves[at] = "present"
		crc := "right"
		if crc32.Checksum(raw[atAttribute:length], castagnoli) != uint32(b.CRC) {
			crc = "wrong"
		}
		body := b.Records
		b.CRC, b.Records = 0, nil
		a.walk(leaves, at, "", reflect.ValueOf(b))
		leaves[at+".CRC"] = crc
		leaves[at+".Records"] = strings.ReplaceAll(fmt.Sprintf("%x", body), fmt.Sprintf("%x", a.prefix), "")
		raw = raw[length:]
	}
	leaves[path+".rest"] = fmt.Sprintf("%d bytes", len(raw))
}

// ieee returns the checksum used by v0 and v1 messages.
func ieee(body []byte) uint32 { return crc32.ChecksumIEEE(body) }
