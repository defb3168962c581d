package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// unregisterBroker serves UnregisterBroker. A registered broker holds the only replica of its
// partitions, so it cannot be removed.
func unregisterBroker(d *Deps) func(context.Context, *Request) kmsg.Response {
	return func(_ context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.UnregisterBrokerRequest)
		resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
		err := refuse(kerr.BrokerIDNotRegistered, fmt.Sprintf("broker %d is not registered", req.BrokerID))
		for _, b := range d.Lookup.View().Brokers {
			if b.ID == req.BrokerID {
				err = refuse(kerr.InvalidRequest, fmt.Sprintf("broker %d cannot be removed: its partitions have no other replica", req.BrokerID))
			}
		}
		resp.ErrorCode, resp.ErrorMessage = d.code(err), message(err)
		return resp
	}
}
