package feed

import (
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

const (
	service         = "sluice.Feed"
	methodFollow    = "/" + service + "/Follow"
	methodSession   = "/" + service + "/Session"
	methodPropose   = "/" + service + "/Propose"
	methodReadIndex = "/" + service + "/ReadIndex"
)

var (
	followDesc  = grpc.StreamDesc{StreamName: "Follow", ClientStreams: true, ServerStreams: true}
	sessionDesc = grpc.StreamDesc{StreamName: "Session", ClientStreams: true, ServerStreams: true}
)

// codec passes the messages of this package through gRPC as they are: a []byte to send, a *[]byte to
// receive. What is inside has its own layout and version.
type codec struct{}

var errCodec = errors.New("feed: not a message of this package")

// Name is part of the content type of each call.
func (codec) Name() string { return "sluice-feed" }

// Marshal takes a []byte.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errCodec
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal copies a message, which the receiver may keep.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errCodec
	}
	*b = data.Materialize()
	return nil
}
