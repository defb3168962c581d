package record

import (
	"encoding/binary"
	"math"
)

// Gap returns consecutive batches without records that cover the offsets [base,
// end), so that readers continue after them. They have no timestamp and no
// producer.
func Gap(base, end int64, epoch int32) []byte {
	var out []byte
	for base < end {
		n := min(end-base, math.MaxInt32)
		b := Batch(make([]byte, HeaderSize))
		be := binary.BigEndian
		be.PutUint32(b[offLength:], HeaderSize-offEpoch)
		b[offMagic] = magic
		be.PutUint32(b[offLastDelta:], uint32(n-1))
		for _, at := range []int{offBaseTimestamp, offMaxTimestamp, offProducerID} {
			be.PutUint64(b[at:], math.MaxUint64) // -1
		}
		be.PutUint16(b[offProducerEpoch:], math.MaxUint16)
		be.PutUint32(b[offBaseSequence:], math.MaxUint32)
		b.Stamp(base, epoch)
		b.seal()
		out, base = append(out, b...), base+n
	}
	return out
}
