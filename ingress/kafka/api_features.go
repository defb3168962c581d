package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// updateFeatures serves UpdateFeatures (KIP-584). Kafka's features are versions of its metadata
// and of protocols that are not served here, so none are supported, and ApiVersions lists none.
// If one is refused, all are.
func updateFeatures(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.UpdateFeaturesRequest)
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if len(req.FeatureUpdates) == 0 {
		return resp
	}
	text := fmt.Sprintf("unknown feature %.100q: features depend on the broker's version alone", req.FeatureUpdates[0].Feature)
	resp.ErrorCode, resp.ErrorMessage = kerr.InvalidUpdateVersion.Code, &text
	return resp
}
