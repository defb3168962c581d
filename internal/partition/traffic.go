package partition

import "sync/atomic"

// Traffic is what has been written to and read from a partition since the broker
// started.
type Traffic struct {
	RecordsIn int64 // offsets appended
	BytesIn   int64 // of their batches
	BytesOut  int64 // of batches read for consumers
}

type traffic struct {
	appended   atomic.Int64 // bytes, including recovered ones
	fromBytes  atomic.Int64 // appended at the end of recovery
	fromOffset atomic.Int64 // the high watermark then
	out        atomic.Int64
}

// Recovered says that everything appended so far existed before the start.
func (s *State) Recovered() {
	s.traffic.fromBytes.Store(s.traffic.appended.Load())
	s.traffic.fromOffset.Store(s.hw.Load())
}

// Served counts bytes read for a consumer.
func (s *State) Served(bytes int) { s.traffic.out.Add(int64(bytes)) }

// Traffic returns the counts.
func (s *State) Traffic() Traffic {
	t := &s.traffic
	return Traffic{RecordsIn: s.hw.Load() - t.fromOffset.Load(), BytesIn: t.appended.Load() - t.fromBytes.Load(), BytesOut: t.out.Load()}
}
