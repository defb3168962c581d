package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noAuthorizer is the message of every ACL response: any client that can connect has all
// permissions.
var noAuthorizer = "ACLs are not supported: every client that can connect has all permissions"

// describeACLs serves DescribeAcls like a Kafka broker without an authorizer.
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
