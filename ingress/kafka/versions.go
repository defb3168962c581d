package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersionsMax is the highest supported version of ApiVersions.
const apiVersionsMax = 5

// announce returns the ApiVersions entry of an API.
//
// Like Kafka 4, it announces Produce from version 0 although versions 0 to 2 are not served:
// librdkafka up to 2.10.1 decides by the lowest version whether a broker accepts compressed
// batches, and silently sends uncompressed ones if it is 3 (KIP-896, KAFKA-18659).
func announce(a API) kmsg.ApiVersionsResponseApiKey {
	lowest := a.Min
	if a.Key == kmsg.Produce.Int16() {
		lowest = 0
	}
	return kmsg.ApiVersionsResponseApiKey{ApiKey: a.Key, MinVersion: lowest, MaxVersion: a.Max}
}

// Identity returns the cluster id and the id of this broker.
type Identity func() (clusterID string, node int32)

// apiVersions answers with the supported versions, after checking who the client is and which
// broker it means.
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

// greet checks the client's name and version (KIP-511) and the cluster and broker that it
// expects to talk to (KIP-1242): its address may have moved to another one.
func (s *Server) greet(req *kmsg.ApiVersionsRequest) int16 {
	if req.Version >= 3 && !(softwareName(req.ClientSoftwareName) && softwareName(req.ClientSoftwareVersion)) {
		return kerr.InvalidRequest.Code
	}
	const unknown = -1 // for bootstrap addresses
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

// softwareName reports whether a client's name or version has the form required by KIP-511:
// letters and digits, with dashes and dots in between.
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

// refuseApiVersions returns the supported versions of ApiVersions itself, in version 0, which
// every client can read.
func (s *Server) refuseApiVersions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: kmsg.ApiVersions.Int16(), MaxVersion: apiVersionsMax}}
	return resp
}
