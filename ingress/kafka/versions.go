package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersionsMax is the highest version of ApiVersions that is answered as such.
const apiVersionsMax = 4

// announce returns what ApiVersions says of an API.
//
// Produce is announced from version 0 on, though versions 0 to 2 are not served, as
// Kafka 4 does: librdkafka up to 2.10.1 looks at the lowest version to decide whether a
// broker takes compressed batches, and sends them uncompressed, in silence, if it finds
// 3 (KIP-896, KAFKA-18659).
func announce(a API) kmsg.ApiVersionsResponseApiKey {
	lowest := a.Min
	if a.Key == kmsg.Produce.Int16() {
		lowest = 0
	}
	return kmsg.ApiVersionsResponseApiKey{ApiKey: a.Key, MinVersion: lowest, MaxVersion: a.Max}
}

// apiVersions answers with the table of what is served.
func (s *Server) apiVersions(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.Default()
	resp.ApiKeys = s.announced
	return resp
}

func (s *Server) refuseApiVersions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = s.announced
	return resp
}
