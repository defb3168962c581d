package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslHandshake serves SaslHandshake as a Kafka listener without SASL does, so that a client
// that is set up for it is told instead of disconnected: there are no mechanisms.
func saslHandshake(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.SASLHandshakeResponse)
	resp.ErrorCode = kerr.IllegalSaslState.Code
	return resp
}

var noSASL = "SASL is not supported: clients show who they are with certificates"

// saslAuthenticate serves SaslAuthenticate.
func saslAuthenticate(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	resp.ErrorCode, resp.ErrorMessage = kerr.IllegalSaslState.Code, &noSASL
	return resp
}
