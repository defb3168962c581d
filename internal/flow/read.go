package flow

import (
	"time"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
)

// Source says where a read was served from.
type Source uint8

// The tiers in the order they are asked.
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
	MaxBytes int // soft: the first batch is returned whole whatever its size
	// End is the first offset that must not be returned: the high watermark, or
	// the last stable offset for read_committed. Set by locate.
	End int64

	// Tail or Object is where locate found the offset: batches in the WAL, or an
	// object that holds it. Both are empty when there is nothing to read.
	Tail   []partition.Entry
	Object *meta.ObjectRef

	// Segments are whole batches in offset order; the first may begin before
	// Offset, as Kafka allows. They are valid until Release.
	Segments [][]byte
	Bytes    int
	Source   Source // of the first segment
	// Took is the time from Fetch.Began until the read was served.
	Took time.Duration
	Err  error

	release []func()
}

// Add appends a segment; release, if not nil, runs once when the reader is done.
func (r *Read) Add(b []byte, src Source, release func()) {
	if len(r.Segments) == 0 {
		r.Source = src
	}
	r.Segments = append(r.Segments, b)
	r.Bytes += len(b)
	if release != nil {
		r.release = append(r.release, release)
	}
}

// Cold reports whether r was located but not served yet.
func (r *Read) Cold() bool {
	return r.Err == nil && len(r.Segments) == 0 && (len(r.Tail) > 0 || r.Object != nil)
}

// Release gives the segments back. The reader must not touch them afterwards,
// but the read can be served anew.
func (r *Read) Release() {
	for _, f := range r.release {
		f()
	}
	r.Segments, r.release, r.Bytes, r.Source, r.Took = nil, nil, 0, FromNone, 0
}

// Fetch is the body of a read parcel: all partitions of one request.
type Fetch struct {
	Reads    []*Read
	MaxBytes int // over all reads; soft for the first batch
	// Began is when the pipeline took the fetch in hand. Set by locate.
	Began time.Time
}

// Stamp notes the time at which reads were served. A stage that serves calls it
// when it is done; reads that are stamped already keep their time.
func (f *Fetch) Stamp() {
	var took time.Duration
	for _, r := range f.Reads {
		if len(r.Segments) > 0 && r.Took == 0 {
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
