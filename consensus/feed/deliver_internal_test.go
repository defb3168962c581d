package feed

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus/quorum"
)

// TestWhatWasNotDeliveredIsAskedForAgain: a stream may end while what it has brought waits for a slow
// copy of a shard, for example because the process was stopped for longer than the lease. The next
// stream begins with that, or the copy would lack commands for ever.
func TestWhatWasNotDeliveredIsAskedForAgain(t *testing.T) {
	c := &Client{o: ClientOptions{Config: DefaultConfig()}, log: slog.New(slog.DiscardHandler), subs: make(map[int]*subscription), learned: make(chan struct{})}
	c.life, c.stop = context.WithCancel(t.Context())
	defer c.stop()
	l, err := c.newLink(0, Endpoint{ID: 1, Address: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	c.links = []*link{l}
	c.metrics = newClientMetrics(c, prometheus.NewRegistry())
	f := c.Follow(3, quorum.Position{})
	token := c.assigned(0)[0].token
	entries := func(index uint64) message {
		return message{kind: kindEntries, shard: 3, token: token, entries: []quorum.Entry{{Index: index, Cmd: []byte{1}}}}
	}
	if err := l.deliver(t.Context(), entries(5), 1); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := l.deliver(ended, entries(6), 1); err == nil {
		t.Fatal("it was delivered")
	}
	c.moveOn(0)
	asked := c.assigned(0)
	if len(asked) != 1 {
		t.Fatalf("subscriptions: %+v", asked)
	}
	changes, err := f.Next(t.Context())
	if err != nil || len(changes.Entries) != 1 || changes.Entries[0].Index != 5 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if asked[0].at.Index != 5 {
		t.Errorf("the copy has applied index 5, and the next stream begins after %d", asked[0].at.Index)
	}
}
