package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslHandshake serves SaslHandshake like a Kafka listener without SASL: it reports that there
// are no mechanisms, so that a client configured for SASL gets an error instead of a
// disconnect.
func saslHandshake(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.SASLHandshakeResponse)
	resp.ErrorCode = kerr.IllegalSaslState.Code
	return resp
}

var noSASL = "SASL is not supported: clients authenticate with certificates"

// saslAuthenticate serves SaslAuthenticate.
func saslAuthenticate(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	resp.ErrorCode, resp.ErrorMessage = kerr.IllegalSaslState.Code, &noSASL
	return resp
}
