package kafka

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchHandler passes Fetch to the Fetcher, which encodes its own response so that record
// batches are written without copying.
type fetchHandler struct{ fetcher Fetcher }

func (h fetchHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	r.Leave()
	r.Charged = h.fetcher.Fetch(ctx, r.Who, r.Body.(*kmsg.FetchRequest), func(body net.Buffers, release func()) {
		reply(Response{Body: body, Release: release, Silent: body == nil, Close: body == nil})
	})
}
