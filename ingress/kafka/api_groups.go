package kafka

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// group passes consumer group requests to the coordinator. The coordinator copies what it keeps
// of requests that wait for other members, charged to the groups' memory; a member has at most
// one waiting request of each kind.
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

// host formats a client address for group members, with a leading slash as in Kafka.
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
