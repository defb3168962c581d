//go:build oracle

package oracle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerIn is the timeout for one response.
const answerIn = 20 * time.Second

// conn is a raw connection. Requests are sent and responses decoded as is, without a client library
// that retries or repairs anything.
type conn struct {
	net.Conn
	last int32 // last correlation id
}

func dial(ctx context.Context, addr string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

func (c *conn) close() { _ = c.Close() } // nothing is buffered

func (c *conn) send(req kmsg.Request) (id int32, err error) {
	c.last++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("oracle")).AppendRequest(nil, req, c.last)
	_, err = c.Write(frame)
	return c.last, err
}

// receive returns the next frame's correlation id and the bytes after it.
func (c *conn) receive() (id int32, rest []byte, err error) {
	if err := c.SetReadDeadline(time.Now().Add(answerIn)); err != nil {
		return 0, nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		return 0, nil, err
	}
	if len(frame) < 4 {
		return 0, nil, errors.New("a frame without a correlation id")
	}
	return int32(binary.BigEndian.Uint32(frame)), frame[4:], nil
}

func (c *conn) ask(req kmsg.Request) (kmsg.Response, error) {
	id, err := c.send(req)
	if err != nil {
		return nil, err
	}
	got, body, err := c.receive()
	if err != nil {
		return nil, err
	}
	if got != id {
		return nil, fmt.Errorf("answer %d to request %d", got, id)
	}
	return decode(req, body)
}

func decode(req kmsg.Request, body []byte) (kmsg.Response, error) {
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && resp.Key() != 18 { // tagged fields of the header
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("the header's tags are not none")
		}
		body = body[1:]
	}
	if resp.Key() == 18 && len(body) >= 2 && int16(binary.BigEndian.Uint16(body)) == 35 {
		resp.SetVersion(0) // unsupported versions of ApiVersions are answered in version 0
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("an answer that cannot be decoded: %w", err)
	}
	return resp, nil
}
