package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiVersionsMax is the highest version of ApiVersions that is answered as such.
const apiVersionsMax = 4

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
