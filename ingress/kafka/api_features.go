package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// updateFeatures serves UpdateFeatures (KIP-584). Kafka's features are levels of its own
// metadata and of protocols that are not served here, so that none is supported, and
// ApiVersions names none. One that is refused has all refused.
func updateFeatures(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.UpdateFeaturesRequest)
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if len(req.FeatureUpdates) == 0 {
		return resp
	}
	text := fmt.Sprintf("there is no feature %.100q: what a broker does depends on its version alone", req.FeatureUpdates[0].Feature)
	resp.ErrorCode, resp.ErrorMessage = kerr.InvalidUpdateVersion.Code, &text
	return resp
}
