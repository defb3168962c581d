package kafka

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// group hands a request of a consumer group to the coordinator. It copies what it keeps
// of those that may wait for other members, on the account of groups, and a member has
// one of each that waits.
func (h *Handlers) group() Handler {
	return handlerOf(func(ctx context.Context, r *Request, reply func(Response)) {
		who := GroupClient{ID: r.ClientID, Host: host(r.Conn.Remote)}
		r.Leave()
		h.deps.Groups.Serve(ctx, who, r.Version, r.Body, func(resp kmsg.Response) {
			resp.SetVersion(r.Version)
			reply(Response{Message: resp})
		})
		r.Charged = r.Key == kmsg.JoinGroup.Int16() || r.Key == kmsg.SyncGroup.Int16()
	})
}

// host is the address of a client as group members are described by: Kafka puts
// a slash before it.
func host(a net.Addr) string {
	if a == nil {
		return ""
	}
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		h = a.String()
	}
	return "/" + h
}
