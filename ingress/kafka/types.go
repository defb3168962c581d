package kafka

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

// ConnInfo describes a connection. It never changes.
type ConnInfo struct {
	ID uint64 // unique in this process
	// Network is the ID of the QUIC connection that this stream belongs to; 0 for TCP.
	Network   uint64
	Transport string // "quic", "tls" or "tcp"
	Remote    net.Addr
	Local     net.Addr
	TLS       *tls.ConnectionState // nil for plaintext TCP
}

// Request is a validated and decoded request.
type Request struct {
	Conn          ConnInfo
	Who           pipeline.Holder // pays for the memory of the response
	Key, Version  int16
	CorrelationID int32
	ClientID      string // empty if the client sent none
	// Body is the decoded request. Its byte slices point into the frame; they are valid until
	// the response was written.
	Body kmsg.Request
	// Charged is set by a handler that has charged the request to another budget by the time
	// Serve returns. The frame is then released, and slices of Body that point into it are no
	// longer valid.
	Charged bool

	place *pipeline.Permit // of a large request
}

// Leave gives up the slot of a large request; few of them are processed at once. A handler
// calls it before anything that may wait for others.
func (r *Request) Leave() { r.place.Release() }

// Response is the reply to one Request, in one of four forms.
type Response struct {
	// Message is encoded by the connection.
	Message kmsg.Response
	// Body, if Message is nil, is the encoded response after its header. It is written without
	// copying.
	Body net.Buffers
	// parts, if Message and Body are nil, generates the response while it is written.
	parts *parts
	// Release, if set, is called once, when the response was written or dropped.
	Release func()
	// Silent sends nothing: Produce with acks=0.
	Silent bool
	// Close closes the connection after the response.
	Close bool
}

// Handler serves one API key. Serve runs on the connection's read goroutine, in request order.
// It must not block for long there, and not at all before it has called the request's Leave.
// reply is called exactly once, by Serve or later by any goroutine. The context ends with the
// connection.
type Handler interface {
	Serve(ctx context.Context, r *Request, reply func(Response))
}

// HandlerFunc adapts a function that replies at once.
type HandlerFunc func(ctx context.Context, r *Request) kmsg.Response

// Serve calls f and replies with what it returns.
func (f HandlerFunc) Serve(ctx context.Context, r *Request, reply func(Response)) {
	reply(Response{Message: f(ctx, r)})
}

// Admission charges memory to the request budget.
type Admission interface {
	// Frame starts the claim for a frame of that many bytes.
	Frame(who pipeline.Holder, key int16, bytes int64) *pipeline.Claim
	// Work starts the claim for the decoded form and the response of a request.
	Work(who pipeline.Holder, bytes int64) *pipeline.Claim
}

// API is one row of the table that the dispatcher serves and ApiVersions announces.
type API struct {
	Key, Min, Max int16
	Handler       Handler
	// Answer estimates the memory of the response in bytes, for APIs where a small request may
	// have a large response; nil for others.
	Answer func(kmsg.Request) int64
}
