package kafka

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// Most connections are silent most of the time, so buffers are lent to those that
// are not.
const (
	readBuffer  = 8 << 10
	writeBuffer = 64 << 10
	// keepReader is how long a connection that sends nothing keeps the buffer that it
	// is read with. A busy one never pays for giving it back.
	keepReader = time.Second
)

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}
	outlets = sync.Pool{New: func() any { return &outlet{w: bufio.NewWriterSize(nil, writeBuffer)} }}
)

func borrowReader(r io.Reader) *bufio.Reader {
	in, _ := readers.Get().(*bufio.Reader)
	in.Reset(r)
	return in
}

func returnReader(in *bufio.Reader) {
	in.Reset(nil)
	readers.Put(in)
}

// outlet is what answers are encoded and gathered in.
type outlet struct {
	w       *bufio.Writer
	scratch []byte
}

func borrowOutlet(w io.Writer) *outlet {
	o, _ := outlets.Get().(*outlet)
	o.w.Reset(w)
	return o
}

func returnOutlet(o *outlet) {
	if cap(o.scratch) > writeBuffer {
		o.scratch = nil // one large answer is no reason to keep its memory
	}
	o.w.Reset(nil)
	outlets.Put(o)
}

// flush writes what was gathered.
func (o *outlet) flush() error {
	if o.w.Buffered() == 0 {
		return nil
	}
	return o.w.Flush()
}
