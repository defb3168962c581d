package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noAuthorizer is said of every ACL: who may connect may do everything.
var noAuthorizer = "ACLs are not supported: whoever may connect may do everything"

// describeACLs serves DescribeAcls as a Kafka without an authorizer does.
func describeACLs(_ context.Context, r *Request) kmsg.Response {
	resp := r.Body.ResponseKind().(*kmsg.DescribeACLsResponse)
	resp.ErrorCode, resp.ErrorMessage = kerr.SecurityDisabled.Code, &noAuthorizer
	return resp
}

// createACLs serves CreateAcls.
func createACLs(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.CreateACLsRequest)
	resp := req.ResponseKind().(*kmsg.CreateACLsResponse)
	for range req.Creations {
		resp.Results = append(resp.Results, kmsg.CreateACLsResponseResult{ErrorCode: kerr.SecurityDisabled.Code, ErrorMessage: &noAuthorizer})
	}
	return resp
}

// deleteACLs serves DeleteAcls.
func deleteACLs(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.DeleteACLsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteACLsResponse)
	for range req.Filters {
		resp.Results = append(resp.Results, kmsg.DeleteACLsResponseResult{ErrorCode: kerr.SecurityDisabled.Code, ErrorMessage: &noAuthorizer})
	}
	return resp
}
