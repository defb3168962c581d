package group

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

func (m *consumer) leave() {
	m.h.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	if resp := answer[*kmsg.LeaveGroupResponse](m.h.t, m.h.send(2, req)); resp.ErrorCode != 0 {
		m.h.t.Fatalf("leave: %+v", resp)
	}
}

func TestOffsetsOfSimpleConsumersExpireAfterTheirCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""})))
		time.Sleep(4 * day)
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 1, 2, ""})))
		time.Sleep(3*day - time.Minute)
		if h.offset("g", "orders", 0) != 1 {
			t.Error("expired too early")
		}
		time.Sleep(hour)
		if h.offset("g", "orders", 0) != -1 || h.offset("g", "orders", 1) != 2 {
			t.Error("want the first offset expired and the second kept")
		}
		time.Sleep(4 * day)
		if _, there := h.store.Group("g"); there || h.used().groups != 0 {
			t.Error("a group without members and offsets still exists")
		}
		if n := testutil.ToFloat64(h.c.metrics.expired); n != 2 {
			t.Errorf("%v expired offsets counted", n)
		}
	})
}

func TestOffsetsExpireAfterTheGroupBecameEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2), newTopic("bills", 1)), devConfig())
		m := h.consumer("g")
		stabilize(m)
		if got := codes(t, h.send(9, commitRequest("g", m.id, m.generation, at{"orders", 0, 1, ""}, at{"bills", 0, 1, ""}))); got[0] != 0 {
			t.Fatal(got)
		}
		for range 8 * 24 * 400 { // eight days with a heartbeat every nine seconds
			time.Sleep(9 * time.Second)
			if code := m.heartbeat(); code != 0 {
				t.Fatalf("heartbeat: %d", code)
			}
		}
		if h.offset("g", "orders", 0) != 1 {
			t.Error("expired although the group consumes the topic")
		}
		if h.offset("g", "bills", 0) != -1 {
			t.Error("not expired although the group does not subscribe to the topic")
		}
		m.leave()
		time.Sleep(4 * day)
		h.restart() // the time at which it became empty is durable
		time.Sleep(3*day - hour)
		if h.offset("g", "orders", 0) != 1 {
			t.Error("expired before the group was empty for long enough")
		}
		time.Sleep(2 * hour)
		if h.offset("g", "orders", 0) != -1 || h.used().groups != 0 {
			t.Error("not expired")
		}
	})
}

func TestOffsetsOfDeletedTopicsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders := newTopic("orders", 2)
		h := start(t, newStore(orders, newTopic("bills", 1)), devConfig())
		codes(t, h.send(9, commitRequest("g", "", -1, at{"bills", 0, 1, ""})))
		h.store.setTopics(orders)
		time.Sleep(6 * day)
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""})))
		time.Sleep(2 * day)
		g, ok := h.store.Group("g")
		if !ok || len(g.Offsets) != 1 || h.offset("g", "orders", 0) != 1 {
			t.Errorf("group %+v", g)
		}
	})
}

func TestSubscribedTopics(t *testing.T) {
	for _, topics := range [][]string{{}, {"a"}, {"orders", "bills", ""}} {
		sub := kmsg.NewConsumerMemberMetadata()
		sub.Version, sub.Topics, sub.UserData = 3, topics, []byte("data")
		got, ok := subscribedTopics(sub.AppendTo(nil))
		if !ok || len(got) != len(topics) {
			t.Fatalf("%v was parsed as %v", topics, got)
		}
		s := subscribed([][]byte{sub.AppendTo(nil)})
		for _, name := range topics {
			if !s.has(name) || s.has(name+"x") {
				t.Errorf("%v: has %q %v", topics, name, s.has(name))
			}
		}
	}
	if s := subscribed([][]byte{{1}}); !s.has("anything") {
		t.Error("unparsable metadata must count as a subscription to all topics")
	}
}

func FuzzSubscribedTopics(f *testing.F) {
	sub := kmsg.NewConsumerMemberMetadata()
	sub.Topics = []string{"orders", "bills"}
	f.Add(sub.AppendTo(nil))
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics, ok := subscribedTopics(b)
		size := 6
		for _, name := range topics {
			size += 2 + len(name)
		}
		if ok && size > len(b) || !ok && topics != nil {
			t.Errorf("%d bytes of topics in %d", size, len(b))
		}
	})
}
