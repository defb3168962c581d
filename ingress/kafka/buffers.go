package kafka

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// Most connections are silent most of the time, so buffers are pooled and held only by active
// ones.
const (
	readBuffer  = 8 << 10
	writeBuffer = 64 << 10
	// keepReader is how long a silent connection keeps its read buffer. A busy connection never
	// pays for returning it.
	keepReader = time.Second
)

var (
	readers    = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}
	outBuffers = sync.Pool{New: func() any { return &outBuffer{w: bufio.NewWriterSize(nil, writeBuffer)} }}
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

// outBuffer is a pooled buffer in which responses are encoded and gathered.
type outBuffer struct {
	w       *bufio.Writer
	scratch []byte
}

func borrowOut(w io.Writer) *outBuffer {
	o, _ := outBuffers.Get().(*outBuffer)
	o.w.Reset(w)
	return o
}

func returnOutBuffer(o *outBuffer) {
	if cap(o.scratch) > writeBuffer {
		o.scratch = nil // do not keep the memory of one large response
	}
	o.w.Reset(nil)
	outBuffers.Put(o)
}

// flush writes the gathered responses.
func (o *outBuffer) flush() error {
	if o.w.Buffered() == 0 {
		return nil
	}
	return o.w.Flush()
}
