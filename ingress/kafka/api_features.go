package kafka

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saidFeatures is how many features an error names. Tools show the error once for each feature, so it
// does not stop at the first.
const saidFeatures = 8

// updateFeatures serves UpdateFeatures (KIP-584). Kafka's features are versions of its metadata
// and of protocols that are not served here, so none are supported, and ApiVersions lists none.
// If one is refused, all are.
func updateFeatures(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.UpdateFeaturesRequest)
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if len(req.FeatureUpdates) == 0 {
		return resp
	}
	var names []string
	for i := range req.FeatureUpdates[:min(len(req.FeatureUpdates), saidFeatures)] {
		names = append(names, fmt.Sprintf("%.100q", req.FeatureUpdates[i].Feature))
	}
	text := "unknown feature " + strings.Join(names, ", ")
	if more := len(req.FeatureUpdates) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	text += ": features depend on the broker's version alone, so none is changed"
	resp.ErrorCode, resp.ErrorMessage = kerr.InvalidUpdateVersion.Code, &text
	return resp
}
