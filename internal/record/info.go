package record

import "fmt"

// Info is the header of a batch for JSON output, for tools that show the content
// of a file.
type Info struct {
	BaseOffset    int64  `json:"base_offset"`
	LastOffset    int64  `json:"last_offset"`
	LeaderEpoch   int32  `json:"leader_epoch"`
	Count         int32  `json:"count"`
	Bytes         int    `json:"bytes"`
	Codec         string `json:"codec"`
	CRC           string `json:"crc32c"`
	BaseTimestamp int64  `json:"base_timestamp_ms"`
	MaxTimestamp  int64  `json:"max_timestamp_ms"`
	LogAppendTime bool   `json:"log_append_time,omitempty"`
	Transactional bool   `json:"transactional,omitempty"`
	Control       bool   `json:"control,omitempty"`
	ProducerID    int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	BaseSequence  int32  `json:"base_sequence"`
}

// Info returns the header's fields.
func (b Batch) Info() Info {
	return Info{BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), LeaderEpoch: b.PartitionLeaderEpoch(),
		Count: b.Count(), Bytes: b.Size(), Codec: b.Codec().String(), CRC: fmt.Sprintf("%08x", b.CRC()),
		BaseTimestamp: b.BaseTimestamp(), MaxTimestamp: b.MaxTimestamp(), LogAppendTime: b.LogAppendTime(),
		Transactional: b.IsTransactional(), Control: b.IsControl(),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence()}
}
