package flow

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// Source says where a read was served from.
type Source uint8

// The tiers, in the order in which they are tried.
const (
	FromNone Source = iota
	FromWriteCache
	FromReadCache
	FromWAL
	FromObject
)

var sourceNames = [...]string{"none", "write_cache", "read_cache", "wal", "object"}

// String returns the metric label of s.
func (s Source) String() string { return sourceNames[s] }

// Read asks for the batches of one partition from Offset on.
type Read struct {
	State    *partition.State
	Offset   int64
	MaxBytes int // soft: the first batch is returned whole
	// End is the first offset that must not be returned: the high watermark, or
	// the last stable offset for read_committed. Set by locate.
	End int64

	// Limit is the byte limit that locate left for this read, at most MaxBytes and
	// soft like it. 0: no limit.
	Limit int

	// Tail or Object is where locate found the offset: entries of the tail index,
	// the first of which may start before Offset and the last end after End, or an
	// object that holds it. Both are empty if there is nothing to read.
	Tail   []partition.Entry
	Object *meta.ObjectRef

	// Buffers are one or more whole batches each, in offset order; the first may
	// start before Offset, as Kafka allows. They are valid until Release.
	Buffers [][]byte
	Bytes   int
	Source  Source // of the first buffer
	// Took is the time from Fetch.Began until the read was served.
	Took time.Duration
	Err  error

	release []func()
}

// Clip returns the part of b, the batches of e, to add next: from the batch that
// holds Offset on, up to End, and within Limit unless it is the first of the
// read. more is false if what follows is not wanted.
func (r *Read) Clip(e partition.Entry, b []byte) (wanted []byte, more bool) {
	if e.Base >= r.Offset && e.End() <= r.End && (r.Limit == 0 || r.Bytes+len(b) <= r.Limit) {
		return b, true
	}
	from, to := 0, 0
	for to < len(b) {
		next, _, err := record.Next(b[to:])
		if err != nil || next.NextOffset() > r.End {
			break
		}
		end := to + len(next)
		if next.NextOffset() <= r.Offset {
			from = end
		} else if n := r.Bytes + end - from; r.Limit > 0 && n > r.Limit && n > len(next) {
			break // not the first batch, and beyond the limit
		}
		to = end
	}
	return b[from:to], to == len(b)
}

// Add appends a buffer; release, if not nil, runs once the reader is done.
func (r *Read) Add(b []byte, src Source, release func()) {
	if len(r.Buffers) == 0 {
		r.Source = src
	}
	r.Buffers = append(r.Buffers, b)
	r.Bytes += len(b)
	if release != nil {
		r.Hold(release)
	}
}

// Hold makes release run once the reader is done.
func (r *Read) Hold(release func()) { r.release = append(r.release, release) }

// Cold reports whether r was located but not served yet.
func (r *Read) Cold() bool {
	return r.Err == nil && len(r.Buffers) == 0 && (len(r.Tail) > 0 || r.Object != nil)
}

// Release releases the buffers. The reader must not touch them afterwards, but
// the read can be served again.
func (r *Read) Release() {
	for _, f := range r.release {
		f()
	}
	r.Buffers, r.release, r.Bytes, r.Source, r.Took = nil, nil, 0, FromNone, 0
}

// Fetch is the body of a read parcel: all partitions of one request.
type Fetch struct {
	Reads    []*Read
	MaxBytes int // over all reads; soft for the first batch
	// Due, if not nil, is closed when the client wants its response, whatever is in
	// it.
	Due <-chan struct{}
	// Began is when the pipeline received the fetch. Set by locate.
	Began time.Time
}

// Stamp records the time at which reads were served. A stage that serves reads
// calls it when done; reads stamped before keep their time.
func (f *Fetch) Stamp() {
	var took time.Duration
	for _, r := range f.Reads {
		if len(r.Buffers) > 0 && r.Took == 0 {
			if took == 0 {
				took = max(time.Since(f.Began), 1)
			}
			r.Took = took
		}
	}
}

// Release releases all reads.
func (f *Fetch) Release() {
	for _, r := range f.Reads {
		r.Release()
	}
}

// Cold reports whether some read still needs the WAL or an object.
func (f *Fetch) Cold() bool {
	for _, r := range f.Reads {
		if r.Cold() {
			return true
		}
	}
	return false
}
