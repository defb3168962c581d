package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
)

// endpointBrokers is the only endpoint type served; controllers are not reachable over the
// Kafka protocol (KIP-919).
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// describeCluster serves DescribeCluster (KIP-700).
func describeCluster(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.DescribeClusterRequest)
		resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
		resp.EndpointType, resp.ControllerID = endpointBrokers, -1
		resp.ClusterAuthorizedOperations = notAsked
		if req.Version >= 1 && req.EndpointType != endpointBrokers {
			resp.ErrorCode = kerr.UnsupportedEndpointType.Code
			if req.EndpointType == endpointControllers {
				resp.ErrorCode = kerr.MismatchedEndpointType.Code
			}
			resp.ErrorMessage = kmsg.StringPtr("ask for brokers (endpoint type 1); controllers do not speak this protocol")
			return resp
		}
		view := d.Lookup.View()
		resp.ClusterID, resp.ControllerID = view.ClusterID, view.Controller
		if req.IncludeClusterAuthorizedOperations {
			resp.ClusterAuthorizedOperations = clusterOperations
		}
		resp.Brokers = make([]kmsg.DescribeClusterResponseBroker, len(view.Brokers))
		for i, b := range view.Brokers {
			resp.Brokers[i] = kmsg.DescribeClusterResponseBroker{NodeID: b.ID, Host: b.Host, Port: b.Port, Rack: rack(b)}
		}
		return resp
	}
}

// Key types of FindCoordinator.
const (
	coordinatorGroup       = 0
	coordinatorTransaction = 1
)

// findCoordinator serves FindCoordinator. The broker that the metadata calls controller
// coordinates all groups, so every broker gives the same answer.
func findCoordinator(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.FindCoordinatorRequest)
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		at, err := coordinator(d, req.CoordinatorType)
		text := coordinatorMessage(req.Version, err)
		if req.Version < 4 {
			resp.NodeID, resp.Host, resp.Port = at.ID, at.Host, at.Port
			resp.ErrorCode, resp.ErrorMessage = d.code(err), text
			return resp
		}
		resp.Coordinators = make([]kmsg.FindCoordinatorResponseCoordinator, len(req.CoordinatorKeys))
		for i, key := range req.CoordinatorKeys {
			resp.Coordinators[i] = kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: at.ID, Host: at.Host, Port: at.Port,
				ErrorCode: d.code(err), ErrorMessage: text}
		}
		return resp
	}
}

// coordinatorMessage returns the error message of a coordinator. On success Kafka sends the
// name of the code NONE up to version 3, and null from version 4.
func coordinatorMessage(version int16, err error) *string {
	switch {
	case err != nil:
		return message(err)
	case version < 4:
		return kmsg.StringPtr("NONE")
	}
	return new(string)
}

func coordinator(d *Deps, kind int8) (meta.Broker, error) {
	nobody := meta.Broker{ID: -1, Port: -1}
	if kind != coordinatorGroup && kind != coordinatorTransaction {
		return nobody, refuse(kerr.InvalidRequest, "only groups (0) and transactions (1) have a coordinator here")
	}
	view := d.Lookup.View()
	for _, id := range [...]int32{view.Controller, d.Node} {
		for _, b := range view.Brokers {
			if b.ID == id {
				return b, nil
			}
		}
	}
	return nobody, refuse(kerr.CoordinatorNotAvailable, "no coordinating broker is registered yet; try again")
}
