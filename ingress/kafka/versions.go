package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersionsMax is the highest version of ApiVersions that is answered as such.
const apiVersionsMax = 5

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

// Identity tells the id of the cluster that this broker is of, and its own.
type Identity func() (clusterID string, node int32)

// apiVersions answers with the table of what is served, to a client that says who it is
// and means this broker.
func (s *Server) apiVersions(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.Default()
	resp.ErrorCode = s.greet(req)
	if resp.ErrorCode == 0 {
		resp.ApiKeys = s.announced
	}
	return resp
}

// greet judges what ApiVersions says of the client (KIP-511) and of the broker that it means
// to talk to (KIP-1242): an address may have come to another broker, or cluster, since.
func (s *Server) greet(req *kmsg.ApiVersionsRequest) int16 {
	if req.Version >= 3 && !(softwareName(req.ClientSoftwareName) && softwareName(req.ClientSoftwareVersion)) {
		return kerr.InvalidRequest.Code
	}
	const unknown = -1 // of a client that has only an address yet
	if req.Version < 5 || req.ClusterID == nil && req.NodeID == unknown {
		return 0
	}
	if req.ClusterID == nil || req.NodeID == unknown {
		return kerr.InvalidRequest.Code
	}
	if cluster, node := s.identity(); *req.ClusterID != cluster || req.NodeID != node {
		return kerr.RebootstrapRequired.Code
	}
	return 0
}

// softwareName tells whether a client's name or version has the form that KIP-511 wants:
// letters and digits, with dashes and dots between them.
func softwareName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		between := (c == '-' || c == '.') && i > 0 && i < len(s)-1
		if !between && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// refuseApiVersions says which versions of ApiVersions itself there are: its form of
// version 0 is one that every client can read.
func (s *Server) refuseApiVersions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: kmsg.ApiVersions.Int16(), MaxVersion: apiVersionsMax}}
	return resp
}
