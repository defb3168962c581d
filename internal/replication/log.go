package replication

import "github.com/sluicemq/sluice/internal/meta"

// NoEpoch is the epoch of no record.
const NoEpoch int32 = -1

// Log describes a replica's local log: its offsets and epochs, not its bytes.
//
//	Start <= Durable <= Appended
//
// Records below Start are in objects or deleted. Those from Durable to Appended are being
// written; a crash may lose them.
type Log struct {
	Start    int64
	Durable  int64 // the log end that is reported to others
	Appended int64
	// PrevEpoch is the epoch of the record before Start, NoEpoch if there was none.
	PrevEpoch int32
	// Epochs lists where each later epoch begins.
	Epochs []meta.EpochStart
}

// epochAt returns the epoch of the record at offset, which is below Appended.
func (l *Log) epochAt(offset int64) int32 {
	epoch := l.PrevEpoch
	for _, e := range l.Epochs {
		if e.Start > offset {
			break
		}
		epoch = e.Epoch
	}
	return epoch
}

// lastEpoch returns the epoch of the last record.
func (l *Log) lastEpoch() int32 {
	if n := len(l.Epochs); n > 0 {
		return l.Epochs[n-1].Epoch
	}
	return l.PrevEpoch
}

// epochEnd returns the largest epoch in the log that is not above epoch, and the offset after its
// last record. If all records are of later epochs, it returns NoEpoch and Start.
func (l *Log) epochEnd(epoch int32) (int32, int64) {
	if l.PrevEpoch > epoch {
		return NoEpoch, l.Start
	}
	found := l.PrevEpoch
	for _, e := range l.Epochs {
		if e.Epoch > epoch {
			return found, e.Start
		}
		found = e.Epoch
	}
	return found, l.Appended
}

// Extend adds records of one epoch, up to end.
func (l *Log) Extend(epoch int32, end int64) {
	if epoch > l.lastEpoch() {
		l.Epochs = append(l.Epochs, meta.EpochStart{Epoch: epoch, Start: l.Appended})
	}
	l.Appended = end
}

// truncate removes the records from to on. REQUIRES: to >= Start.
func (l *Log) truncate(to int64) {
	for n := len(l.Epochs); n > 0 && l.Epochs[n-1].Start >= to; n-- {
		l.Epochs = l.Epochs[:n-1]
	}
	l.Appended, l.Durable = to, min(l.Durable, to)
}

// reclaim removes the records below start. REQUIRES: start <= Durable.
func (l *Log) reclaim(start int64) {
	if start <= l.Start {
		return
	}
	l.PrevEpoch = l.epochAt(start - 1)
	for len(l.Epochs) > 0 && l.Epochs[0].Start < start {
		l.Epochs = l.Epochs[1:]
	}
	l.Start = start
}

// restart empties the log. It continues at start, after a record of epoch prev.
func (l *Log) restart(start int64, prev int32) {
	*l = Log{Start: start, Durable: start, Appended: start, PrevEpoch: prev}
}
