package kafka

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Resource types that may have configs.
const (
	resourceTopic         = int8(kmsg.ConfigResourceTypeTopic)
	resourceBroker        = int8(kmsg.ConfigResourceTypeBroker)
	resourceLogger        = int8(kmsg.ConfigResourceTypeBrokerLogger)
	resourceClientMetrics = int8(kmsg.ConfigResourceTypeClientMetrics)
	resourceGroup         = int8(kmsg.ConfigResourceTypeGroupConfig)
)

// listConfigResources serves ListConfigResources (KIP-1142). Version 0 lists client metrics
// only (KIP-714); neither they nor groups have configs here.
func listConfigResources(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.ListConfigResourcesRequest)
		resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
		if req.Version == 0 {
			return resp
		}
		known := []int8{resourceGroup, resourceClientMetrics, resourceLogger, resourceBroker, resourceTopic}
		kinds := req.ResourceTypes
		if len(kinds) == 0 {
			kinds = known
		}
		for _, kind := range kinds {
			if !slices.Contains(known, kind) {
				resp.ErrorCode = kerr.UnsupportedVersion.Code
				return resp
			}
		}
		view := d.Lookup.View()
		add := func(kind int8, name string) {
			resp.ConfigResources = append(resp.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: kind})
		}
		for _, kind := range known {
			switch {
			case !slices.Contains(kinds, kind):
			case kind == resourceTopic:
				for _, t := range view.Topics() {
					add(kind, t.Name)
				}
			case kind == resourceBroker, kind == resourceLogger:
				for _, b := range view.Brokers {
					add(kind, strconv.Itoa(int(b.ID)))
				}
			}
		}
		return resp
	}
}
