package quicnet_test

import (
	"io"
	"net"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/internal/quicnet"
)

// BenchmarkEcho compares a Conn with the bare stream it wraps: blocks are echoed. MB/s count one
// direction.
func BenchmarkEcho(b *testing.B) {
	for name, wrap := range map[string]func(*quic.Conn, *quic.Stream) io.ReadWriteCloser{
		"stream": func(_ *quic.Conn, s *quic.Stream) io.ReadWriteCloser { return s },
		"conn":   func(c *quic.Conn, s *quic.Stream) io.ReadWriteCloser { return quicnet.NewConn(c, s) },
	} {
		b.Run(name, func(b *testing.B) {
			p := newPair(b, quicnet.ClientConfig(), func(c *quic.Conn, s *quic.Stream) {
				rw := wrap(c, s)
				_, _ = io.CopyBuffer(struct{ io.Writer }{rw}, struct{ io.Reader }{rw}, make([]byte, 64<<10))
				rw.Close()
			})
			s, err := p.client.OpenStreamSync(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			rw := wrap(p.client, s)
			block := make([]byte, 256<<10)
			b.SetBytes(int64(len(block)))
			b.ResetTimer()
			go func() {
				for range b.N {
					if _, err := rw.Write(block); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			if _, err := io.CopyN(io.Discard, struct{ io.Reader }{rw}, int64(b.N*len(block))); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkSend measures one direction: from a Conn to a reader with a small buffer, like a
// broker's.
func BenchmarkSend(b *testing.B) {
	done := make(chan int64, 1)
	p := newPair(b, quicnet.ClientConfig(), func(c *quic.Conn, s *quic.Stream) {
		nc := quicnet.NewConn(c, s)
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{nc}, make([]byte, 64<<10))
		nc.Close()
		done <- n
	})
	s, err := p.client.OpenStreamSync(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var nc net.Conn = quicnet.NewConn(p.client, s)
	block := make([]byte, 1<<20)
	b.SetBytes(int64(len(block)))
	b.ResetTimer()
	for range b.N {
		if _, err := nc.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	nc.Close()
	if n := <-done; n != int64(b.N)<<20 {
		b.Fatalf("%d bytes came of %d", n, b.N<<20)
	}
}
