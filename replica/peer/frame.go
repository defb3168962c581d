package peer

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"

	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// frame is a frame being made and sent. It owns the records in it until gRPC has written them:
//
//	made       the sender's goroutine adds items
//	sent       gRPC has references to slices of records (held); the sender has one, too
//	released   the last reference is gone, or the connection has ended
//
// gRPC does not drop its references to what was queued when a connection fails, so the end of
// the connection releases all its frames (see connection).
type frame struct {
	head    []byte // with the space for its length
	data    [][]byte
	size    int // of data
	records int // items

	releases []func()
	held     atomic.Int32
	once     sync.Once
	conn     *connection // that tracks the frame, or nil
}

func newFrame() *frame {
	f := &frame{head: make([]byte, headLength, 256)}
	f.held.Store(1)
	return f
}

func (f *frame) empty() bool { return len(f.head) == headLength }

// length returns the size of the frame on the wire, without gRPC's and HTTP/2's headers.
func (f *frame) length() int { return len(f.head) + f.size }

func (f *frame) add(it *item) { f.head = it.append(f.head) }

// addRecords adds records, and takes over their release.
func (f *frame) addRecords(p topic.Partition, h replication.Records, data [][]byte, release func()) {
	it := item{kind: kindRecords, partition: p, records: h}
	for _, b := range data {
		it.size += len(b)
		if len(b) > 0 {
			f.data = append(f.data, b)
		}
	}
	f.add(&it)
	f.size += it.size
	f.records++
	if release != nil {
		f.releases = append(f.releases, release)
	}
}

// buffers returns the frame as gRPC sends it. Small pieces of records are copied, since gRPC does
// not tell when it has sent those.
func (f *frame) buffers() mem.BufferSlice {
	binary.LittleEndian.PutUint32(f.head, uint32(len(f.head)-headLength))
	out := make(mem.BufferSlice, 1, 1+len(f.data))
	out[0] = mem.SliceBuffer(f.head)
	var small []byte
	flush := func() {
		if len(small) > 0 {
			out, small = append(out, mem.SliceBuffer(small)), small[len(small):]
		}
	}
	for i, b := range f.data {
		if mem.IsBelowBufferPoolingThreshold(len(b)) {
			small = append(small, b...)
			continue
		}
		flush()
		f.data[i] = b[:len(b):len(b)] // the capacity decides whether Put is called
		f.held.Add(1)
		out = append(out, mem.NewBuffer(&f.data[i], f))
	}
	flush()
	return out
}

// Get and Put make a frame the pool that its buffers return to.
func (f *frame) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put is called once for each buffer that gRPC no longer needs.
func (f *frame) Put(*[]byte) { f.drop() }

// drop drops one reference to the records.
func (f *frame) drop() {
	if f.held.Add(-1) == 0 {
		f.release()
	}
}

func (f *frame) release() {
	f.once.Do(func() {
		if f.conn != nil {
			f.conn.untrack(f)
		}
		for _, r := range f.releases {
			r()
		}
	})
}

// inbound is a frame that has arrived. Its bytes are valid until the last reference is dropped.
type inbound struct {
	buf  mem.Buffer
	refs atomic.Int32
	done func(bytes int) // called after that, unless nil
}

func (in *inbound) bytes() []byte { return in.buf.ReadOnlyData() }

func (in *inbound) drop() {
	if in.refs.Add(-1) > 0 {
		return
	}
	n := in.buf.Len()
	in.buf.Free()
	if in.done != nil {
		in.done(n)
	}
}

// arrivals holds the frames that arrive. Its sizes are those of full frames, with their heads.
var arrivals = mem.NewTieredBufferPool(4<<10, 16<<10, 64<<10, 128<<10, 256<<10+8<<10, 512<<10, 1<<20+64<<10, 2<<20, 4<<20)

// codec passes frames and Hellos to gRPC.
type codec struct{}

var errCodec = errors.New("peer: not a message of this package")

// Name is part of the content type of each stream.
func (codec) Name() string { return "sluice-replication" }

// Marshal takes a frame, or the bytes of a Hello.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *frame:
		return m.buffers(), nil
	case []byte:
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	}
	return nil, errCodec
}

// Unmarshal makes the pieces of a message contiguous, with one copy if there are several.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, ok := v.(*inbound)
	if !ok {
		return errCodec
	}
	in.buf = data.MaterializeToBuffer(arrivals)
	in.refs.Store(1)
	return nil
}
