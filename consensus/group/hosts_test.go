package group

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// An address that creates groups with members and then disappears leaves groups to others; its
// groups are released when their members expire.
func TestOneAddressLeavesGroupsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.Groups = 40
		h := start(t, newStore(newTopic("orders", 2)), cfg)
		join := func(host, group string) int16 {
			t.Helper()
			h.host = host
			m := h.consumer(group)
			m.version = 3 // one request creates a member
			req := m.joinRequest("orders")
			req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 1_800_000, 1_800_000
			return answer[*kmsg.JoinGroupResponse](t, h.send(3, req)).ErrorCode
		}
		n := 0
		for i := range 60 {
			if join("/192.0.2.1", fmt.Sprint("theirs-", i)) == 0 {
				n++
			}
		}
		if n != 30 {
			t.Errorf("one address has %d of 40 groups, want 30", n)
		}
		for i := range 10 {
			if code := join("/192.0.2.2", fmt.Sprint("ours-", i)); code != 0 {
				t.Fatalf("group %d of another address: %d", i, code)
			}
		}
		// Nobody asks for an assignment: the members expire after a minute, not after half an
		// hour.
		time.Sleep(2 * time.Minute)
		if code := join("/192.0.2.1", "later"); code != 0 {
			t.Errorf("afterwards: %d", code)
		}
		if h.c.hosts.all > 1 {
			t.Errorf("%d groups are counted", h.c.hosts.all)
		}
	})
}
