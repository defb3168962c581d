package echo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// Mode selects the server's response. It is the first byte of a stream.
type Mode byte

// The modes.
const (
	Ack  Mode = 'a'
	Full Mode = 'f'
)

const (
	ackBytes   = 60
	maxFrame   = 64 << 20
	maxStreams = 256
	readBuffer = 64 << 10
)

// Serve serves on an address until ctx ends, and calls ready once it does. Certificates are
// created in dir.
func Serve(ctx context.Context, addr, dir string, ready func()) error {
	files, err := certs.Ensure(dir, nil)
	if err != nil {
		return err
	}
	t, err := certs.ServerConfig(certs.ServerFiles{CertFile: files.Cert, KeyFile: files.Key})
	if err != nil {
		return err
	}
	socket, err := quicnet.DefaultConfig().Listen(addr)
	if err != nil {
		return err
	}
	tr := &quic.Transport{Conn: socket}
	defer func() { _ = tr.Close(); _ = socket.Close() }()
	l, err := tr.Listen(quicnet.TLS(t), quicnet.DefaultConfig().Server(maxStreams))
	if err != nil {
		return err
	}
	ready()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return ended(ctx, err)
		}
		wg.Go(func() { serveConn(ctx, c) })
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func serveConn(ctx context.Context, c *quic.Conn) {
	defer context.AfterFunc(ctx, func() { _ = c.CloseWithError(0, "") })()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			if err := serveStream(s); err != nil {
				s.CancelRead(1)
				s.CancelWrite(1)
				return
			}
			_ = s.Close() // the client has already ended
		})
	}
}

// serveStream answers each frame before it reads the next.
func serveStream(s io.ReadWriter) error {
	r := bufio.NewReaderSize(s, readBuffer)
	mode, err := r.ReadByte()
	if err != nil {
		return err
	}
	var frame []byte
	ack := make([]byte, 4+ackBytes)
	binary.BigEndian.PutUint32(ack, ackBytes)
	for {
		frame, err = readFrame(r, frame)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		answer := ack
		if Mode(mode) == Full {
			answer = frame
		}
		if _, err := s.Write(answer); err != nil {
			return err
		}
	}
}

// readFrame reads a frame with its length into b, growing it if necessary.
func readFrame(r io.Reader, b []byte) ([]byte, error) {
	if cap(b) < 4 {
		b = make([]byte, 4, readBuffer)
	}
	if _, err := io.ReadFull(r, b[:4]); err != nil {
		return b, err
	}
	n := int(binary.BigEndian.Uint32(b[:4]))
	if n > maxFrame {
		return b, fmt.Errorf("a frame of %d bytes is more than %d", n, maxFrame)
	}
	if cap(b) < 4+n {
		grown := make([]byte, 4+n)
		copy(grown, b[:4])
		b = grown
	}
	b = b[:4+n]
	_, err := io.ReadFull(r, b[4:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
