package kafka

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// errTooSlow means that a client sends a request, or reads a response, below the minimum rate.
var errTooSlow = errors.New("slower than the minimum transfer rate")

// pace enforces the minimum rate of a transfer. Only time spent reading or writing counts: the
// client is not recordErrors while the broker is out of memory budget and does not read.
type pace struct {
	cfg   *ServerConfig
	spent time.Duration
	bytes int64
}

// begin starts a request or a response.
func (p *pace) begin() { p.spent, p.bytes = 0, 0 }

// left returns how long the next byte may take.
func (p *pace) left() time.Duration {
	earned := time.Duration(p.bytes * int64(time.Second) / int64(p.cfg.MinBytesPerSecond))
	return min(p.cfg.StallGrace+earned, p.cfg.TransferTimeout) - p.spent
}

func (p *pace) did(n int, began time.Time) {
	p.bytes += int64(n)
	p.spent += time.Since(began)
}

// source fills a connection's read buffer. Within a frame it enforces the pace; between frames
// awaitFrame sets the deadline.
type source struct {
	pace
	c       *conn
	inFrame bool
	byte    [1]byte // holds the byte read by first
	has     bool
}

// first waits for one byte without a buffer. The next Read returns it.
func (s *source) first() error {
	n, err := s.c.nc.Read(s.byte[:])
	s.has = n == 1
	if s.has {
		return nil
	}
	return err
}

func (s *source) begin() {
	s.inFrame = true
	s.pace.begin()
}

func (s *source) end() { s.inFrame = false }

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	if s.has && len(b) > 0 {
		s.has = false
		return copy(b, s.byte[:]), nil
	}
	if !s.inFrame {
		return s.c.nc.Read(b)
	}
	began, left := time.Now(), s.left()
	if left <= 0 {
		return 0, errTooSlow
	}
	if err := s.c.nc.SetReadDeadline(began.Add(left)); err != nil {
		return 0, err
	}
	if s.c.draining.Load() || s.c.isFailed() { // their deadline may have been set before ours
		return 0, io.EOF
	}
	n, err := s.c.nc.Read(b)
	s.did(n, began)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !s.c.draining.Load() && !s.c.isFailed() {
		err = errTooSlow
	}
	return n, err
}

// sink writes responses to the connection.
type sink struct {
	pace
	nc net.Conn
}

// writePiece is how many bytes are written between checks of the pace.
const writePiece = 256 << 10

// Write implements io.Writer.
func (s *sink) Write(b []byte) (int, error) {
	wrote := 0
	for wrote < len(b) {
		began, left := time.Now(), s.left()
		if left <= 0 {
			return wrote, errTooSlow
		}
		if err := s.nc.SetWriteDeadline(began.Add(left)); err != nil {
			return wrote, err
		}
		n, err := s.nc.Write(b[wrote:min(len(b), wrote+writePiece)])
		s.did(n, began)
		wrote += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errTooSlow
		}
		if err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}
