package objectwrite

import (
	"io"
	"sync"
)

// stream is what is read while it is written. Whoever reads lends the memory, which the
// writer fills: bytes are copied once on their way, and both change places once for each
// Read, however small the writes are. So a Read comes back with less than it asked for only
// at the end.
type stream struct {
	lent   chan []byte // of a Read
	filled chan int    // so much of what was lent
	gone   chan struct{}
	once   sync.Once
	over   chan struct{} // nothing is written any more
	err    error         // once over is closed: what Read ends with
}

// contents returns what build writes. When it was closed nothing is built any more.
func contents(build func(io.Writer) error) io.ReadCloser {
	s := &stream{lent: make(chan []byte), filled: make(chan int), gone: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(s.over)
		f := filler{s: s}
		if s.err = build(&f); s.err == nil {
			s.err = io.EOF
		}
		f.giveBack()
	}()
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	select {
	case s.lent <- p:
		return <-s.filled, nil // p comes back before over is closed
	case <-s.over:
		return 0, s.err
	}
}

// Close returns once nothing is written any more. It may be called during a Read, which
// then returns.
func (s *stream) Close() error {
	s.once.Do(func() { close(s.gone) })
	<-s.over
	return nil
}

// filler writes into what was lent.
type filler struct {
	s    *stream
	p    []byte // what was lent; nil: nothing
	have int    // of it
}

func (f *filler) Write(b []byte) (n int, err error) {
	for n < len(b) {
		select {
		case <-f.s.gone:
			return n, io.ErrClosedPipe
		default:
		}
		if f.p == nil {
			select {
			case f.p = <-f.s.lent:
			case <-f.s.gone:
				return n, io.ErrClosedPipe
			}
		}
		m := copy(f.p[f.have:], b[n:])
		n, f.have = n+m, f.have+m
		if f.have == len(f.p) {
			f.giveBack()
		}
	}
	return n, nil
}

// giveBack ends the Read that has lent.
func (f *filler) giveBack() {
	if f.p == nil {
		return
	}
	n := f.have
	f.p, f.have = nil, 0
	f.s.filled <- n
}
