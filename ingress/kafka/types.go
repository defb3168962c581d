package kafka

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

// ConnInfo says where a connection came from. It never changes.
type ConnInfo struct {
	ID uint64 // unique in this process
	// Network is the ID of the network connection that this one is a stream of; 0
	// where it is one itself.
	Network   uint64
	Transport string // "quic", "tls" or "tcp"
	Remote    net.Addr
	Local     net.Addr
	TLS       *tls.ConnectionState // nil for plaintext TCP
}

// Request is one request after its frame was pre-scanned and decoded.
type Request struct {
	Conn          ConnInfo
	Who           pipeline.Holder // on whose account the answer's memory is
	Key, Version  int16
	CorrelationID int32
	ClientID      string // empty where the client gave none
	// Body is the decoded request. Its byte slices point into the request's frame;
	// they are valid until the response was written.
	Body kmsg.Request
	// Charged is set by a handler that has charged what the request takes elsewhere
	// when Serve returns. Then the frame goes back, and what Body has of it is not valid
	// any more.
	Charged bool

	place *pipeline.Place // of a request that names much
}

// Leave gives up the place that a request has among those few that name much and are
// worked on at a time. A handler calls it before anything that may wait for others.
func (r *Request) Leave() { r.place.Leave() }

// Response answers one Request, in one of three forms.
type Response struct {
	// Message is encoded by the connection.
	Message kmsg.Response
	// Body, when Message is nil, is the encoded response after its header. It is
	// written without a copy.
	Body net.Buffers
	// Release, if set, is called once when the response was written or dropped.
	Release func()
	// Silent sends nothing at all: Produce with acks=0.
	Silent bool
	// Close closes the connection after the response.
	Close bool
}

// Handler serves one API key. Serve runs on the connection's read goroutine, in
// request order, and must not wait for long there, nor at all before it has called
// Leave of the request; reply is called exactly once, by Serve or later by any goroutine. The context ends with the
// connection.
type Handler interface {
	Serve(ctx context.Context, r *Request, reply func(Response))
}

// HandlerFunc adapts a function that answers at once.
type HandlerFunc func(ctx context.Context, r *Request) kmsg.Response

// Serve calls f and replies with what it returns.
func (f HandlerFunc) Serve(ctx context.Context, r *Request, reply func(Response)) {
	reply(Response{Message: f(ctx, r)})
}

// Admission charges memory to the budget of requests.
type Admission interface {
	// Frame begins the claim of a frame of so many bytes.
	Frame(who pipeline.Holder, key int16, bytes int64) *pipeline.Claim
	// Work begins the claim of what a request is decoded into and answered with.
	Work(who pipeline.Holder, bytes int64) *pipeline.Claim
}

// API is one row of the table the dispatcher serves and ApiVersions announces.
type API struct {
	Key, Min, Max int16
	Handler       Handler
	// Answer estimates what the answer to a request takes of memory, in bytes, where a
	// small request may have a large one; nil where none has.
	Answer func(kmsg.Request) int64
}
