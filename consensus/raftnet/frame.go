package raftnet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kinds of frames.
const (
	kindHello    = 1
	kindReply    = 2
	kindMessages = 3
	kindChunk    = 4
	kindCall     = 5
)

const (
	headerBytes = 5
	// maxSmall is the limit of hellos, calls and replies.
	maxSmall = 1 << 20
	// maxFrame is above dragonboat's largest batch (64 MiB) and chunk (2 MiB).
	maxFrame = 96 << 20
)

// ErrFrame means that a peer sent what is not a frame of this protocol.
var ErrFrame = errors.New("invalid frame")

// hello says who dials, and whom it wants to reach.
type hello struct {
	From        int32  `json:"from"`
	To          int32  `json:"to"` // -1: whoever is there
	Incarnation uint32 `json:"incarnation"`
	Address     string `json:"address"` // at which From can be reached
	Cluster     string `json:"cluster"` // empty: From belongs to none yet
}

// reply answers a hello or a call.
type reply struct {
	From        int32           `json:"from,omitempty"`
	Incarnation uint32          `json:"incarnation,omitempty"`
	Error       string          `json:"error,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
}

// call is a request to another controller.
type call struct {
	Method string          `json:"method"`
	Body   json.RawMessage `json:"body"`
}

func limit(kind byte) (int, error) {
	switch kind {
	case kindHello, kindReply, kindCall:
		return maxSmall, nil
	case kindMessages, kindChunk:
		return maxFrame, nil
	}
	return 0, fmt.Errorf("%w: kind %d", ErrFrame, kind)
}

// putHeader writes the header of a frame whose payload follows it in b.
func putHeader(b []byte, kind byte) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-headerBytes)) // at most maxFrame, checked by send
	b[4] = kind
}

// readFrame reads a frame into buf, which grows as bytes arrive and not as the header says.
func readFrame(in io.Reader, buf *bytes.Buffer) (kind byte, err error) {
	var h [headerBytes]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return 0, err
	}
	kind = h[4]
	most, err := limit(kind)
	if err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(h[:]))
	if n > int64(most) {
		return 0, fmt.Errorf("%w: %d bytes of kind %d", ErrFrame, n, kind)
	}
	buf.Reset()
	if _, err := io.CopyN(buf, in, n); err != nil {
		return 0, noEOF(err)
	}
	return kind, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readJSON reads a frame of that kind and decodes it.
func readJSON(in io.Reader, want byte, v any) error {
	var buf bytes.Buffer
	kind, err := readFrame(in, &buf)
	if err != nil {
		return err
	}
	if kind != want {
		return fmt.Errorf("%w: kind %d instead of %d", ErrFrame, kind, want)
	}
	if err := json.Unmarshal(buf.Bytes(), v); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}

func writeJSON(out io.Writer, kind byte, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxSmall {
		return fmt.Errorf("%w: %d bytes of kind %d", ErrFrame, len(body), kind)
	}
	b := append(make([]byte, headerBytes, headerBytes+len(body)), body...)
	putHeader(b, kind)
	_, err = out.Write(b)
	return err
}
