package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var noQuotas = "client quotas are not supported; resources are shared fairly between connections and addresses"

// describeQuotas serves DescribeClientQuotas (KIP-546): there are none.
func describeQuotas(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	resp.ErrorMessage, resp.Entries = kmsg.StringPtr(""), []kmsg.DescribeClientQuotasResponseEntry{}
	return resp
}

// alterQuotas refuses AlterClientQuotas, since quotas would not be enforced.
func alterQuotas(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.AlterClientQuotasRequest)
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	for i := range req.Entries {
		out := kmsg.AlterClientQuotasResponseEntry{ErrorCode: kerr.UnsupportedVersion.Code, ErrorMessage: &noQuotas}
		for _, e := range req.Entries[i].Entity {
			out.Entity = append(out.Entity, kmsg.AlterClientQuotasResponseEntryEntity{Type: e.Type, Name: e.Name})
		}
		resp.Entries = append(resp.Entries, out)
	}
	return resp
}
