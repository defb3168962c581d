package group

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// at is one offset to commit.
type at struct {
	topic     string
	partition int32
	offset    int64
	metadata  string
}

func commitRequest(group, member string, generation int32, ats ...at) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	for _, a := range ats {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = a.topic
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = a.partition, a.offset, &a.metadata
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// codes returns the error codes of an OffsetCommit, in order.
func codes(t *testing.T, c *call) []int16 {
	t.Helper()
	var all []int16
	for _, rt := range answer[*kmsg.OffsetCommitResponse](t, c).Topics {
		for _, rp := range rt.Partitions {
			all = append(all, rp.ErrorCode)
		}
	}
	return all
}

// offset returns the offset of one partition by OffsetFetch 9.
func (h *harness) offset(group, name string, partition int32) int64 {
	h.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	ft := kmsg.NewOffsetFetchRequestGroupTopic()
	ft.Topic, ft.Partitions = name, []int32{partition}
	g.Topics = append(g.Topics, ft)
	req.Groups = append(req.Groups, g)
	resp := answer[*kmsg.OffsetFetchResponse](h.t, h.send(9, req))
	if len(resp.Groups) != 1 || resp.Groups[0].ErrorCode != 0 || len(resp.Groups[0].Topics) != 1 || len(resp.Groups[0].Topics[0].Partitions) != 1 {
		h.t.Fatalf("fetch: %+v", resp)
	}
	p := resp.Groups[0].Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.Partition != partition || p.Metadata == nil {
		h.t.Fatalf("fetch: %+v", p)
	}
	return p.Offset
}

func TestCommitsAreGatheredAndDurableBeforeTheirAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 100))
		s.setDelay(time.Second)
		h := start(t, s, devConfig())
		calls := make([]*call, 100)
		for i := range calls {
			calls[i] = h.send(2, commitRequest("g", "", -1, at{"orders", int32(i), int64(i), ""}))
		}
		later := h.send(2, commitRequest("g", "", -1, at{"orders", 7, 1007, "x"}))
		time.Sleep(999 * time.Millisecond)
		if len(calls[0].answers()) > 0 || h.offset("g", "orders", 0) != -1 {
			t.Fatal("a commit was answered, or shown, before it was durable")
		}
		time.Sleep(2 * time.Millisecond)
		if len(calls[0].answers()) != 1 || len(calls[1].answers()) != 0 || h.offset("g", "orders", 0) != 0 {
			t.Fatal("the first write must have the first commit only")
		}
		time.Sleep(time.Second)
		for _, c := range append(slices.Clone(calls), later) {
			if got := codes(t, c); len(got) != 1 || got[0] != 0 {
				t.Fatalf("codes %v", got)
			}
		}
		if len(s.changes) != 2 || s.atOnce != 1 || h.offset("g", "orders", 7) != 1007 || h.offset("g", "orders", 99) != 99 {
			t.Errorf("%d writes, %d at once, offset %d", len(s.changes), s.atOnce, h.offset("g", "orders", 7))
		}
		if n := testutil.ToFloat64(h.c.metrics.commits); n != 101 {
			t.Errorf("%v commits counted", n)
		}
	})
}

func TestCommitThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		h := start(t, s, devConfig())
		s.setFailure(errors.New("no quorum"))
		unavailable := kerr.CoordinatorNotAvailable.Code
		if got := codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""}))); got[0] != unavailable {
			t.Fatalf("codes %v", got)
		}
		if n := h.used().groups; n != 0 {
			t.Errorf("%d groups exist that were never written", n)
		}
		s.setFailure(nil)
		s.setDelay(time.Minute) // longer than the write timeout
		began := time.Now()
		if got := codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""}))); got[0] != unavailable {
			t.Fatalf("codes %v", got)
		}
		if d := time.Since(began).Round(time.Second); d != h.cfg.WriteTimeout {
			t.Errorf("given up after %v", d)
		}
		s.setDelay(0)
		if got := codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""}))); got[0] != 0 || h.offset("g", "orders", 0) != 1 {
			t.Fatalf("codes %v", got)
		}
	})
}

func TestCommitChecksEachOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := devConfig()
		cfg.OffsetMetadataBytes, cfg.OffsetsPerGroup = 4, 3
		h := start(t, newStore(newTopic("orders", 9)), cfg)
		got := codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 5, "1234"}, at{"orders", 1, 5, "12345"},
			at{"orders", 9, 5, ""}, at{"orders", -1, 5, ""}, at{"nothing", 0, 5, ""})))
		unknown := kerr.UnknownTopicOrPartition.Code
		want := []int16{0, kerr.OffsetMetadataTooLarge.Code, unknown, unknown, unknown}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("codes %v, want %v", got, want)
		}
		if h.offset("g", "orders", 0) != 5 || h.offset("g", "orders", 1) != -1 || h.offset("g", "nothing", 0) != -1 {
			t.Error("the store does not have exactly the accepted offsets")
		}
		got = codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 6, ""}, at{"orders", 1, 6, ""}, at{"orders", 2, 6, ""})))
		if fmt.Sprint(got) != "[0 0 0]" {
			t.Errorf("codes at the limit: %v", got)
		}
		got = codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 7, ""}, at{"orders", 3, 7, ""})))
		if got[0] != kerr.InvalidCommitOffsetSize.Code || h.offset("g", "orders", 0) != 6 {
			t.Errorf("codes above the limit: %v", got)
		}
		// Even if all partitions are unknown, the response says whether the member may commit.
		got = codes(t, h.send(9, commitRequest("g", "someone", 3, at{"orders", 0, 1, ""})))
		if got[0] != kerr.UnknownMemberID.Code {
			t.Errorf("codes %v of an unknown member", got)
		}
		got = codes(t, h.send(9, commitRequest("other", "someone", 3, at{"orders", 0, 1, ""})))
		if got[0] != kerr.GroupIDNotFound.Code || h.used().groups != 1 {
			t.Errorf("codes %v of a member of an unknown group", got)
		}
		none := commitRequest("g", "", -1, at{"orders", 0, 6, ""}, at{"nothing", 0, 5, ""})
		none.Topics[0].Partitions, none.Topics[1].Partitions = nil, nil
		if resp := answer[*kmsg.OffsetCommitResponse](t, h.send(9, none)); len(resp.Topics) != 0 {
			t.Errorf("topics without partitions: %+v", resp.Topics)
		}
		for v := int16(2); v <= 8; v++ {
			got = codes(t, h.send(v, commitRequest("other", "someone", 3, at{"orders", 0, 1, ""})))
			if got[0] != kerr.IllegalGeneration.Code {
				t.Errorf("v%d: codes %v of a member of an unknown group", v, got)
			}
		}
		got = codes(t, h.send(9, commitRequest("g", "someone", 3, at{"orders", 0, 1, "12345"}, at{"nothing", 0, 5, ""})))
		if got[0] != kerr.UnknownMemberID.Code || got[1] != unknown {
			t.Errorf("codes %v of an unknown member with large metadata", got)
		}
		got = codes(t, h.send(9, commitRequest("other", "someone", -1, at{"orders", 0, 1, ""})))
		if got[0] != kerr.UnknownMemberID.Code || h.used().groups != 1 {
			t.Errorf("codes %v of a member of an unknown group", got)
		}
		got = codes(t, h.send(9, commitRequest(strings.Repeat("g", maxName+1), "", -1, at{"orders", 0, 1, ""})))
		if got[0] != kerr.InvalidGroupID.Code {
			t.Errorf("codes %v with a long group id", got)
		}
	})
}

func TestMembersCommitInTheirGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		a := h.consumer("g")
		stabilize(a)
		commit := func(member string, generation int32) int16 {
			return codes(t, h.send(9, commitRequest("g", member, generation, at{"orders", 0, 1, ""})))[0]
		}
		if c := commit(a.id, a.generation); c != 0 {
			t.Errorf("a member: %v", kerr.ErrorForCode(c))
		}
		if c := commit(a.id, a.generation-1); c != kerr.IllegalGeneration.Code {
			t.Errorf("an older generation: %v", kerr.ErrorForCode(c))
		}
		if c := commit("", -1); c != kerr.UnknownMemberID.Code {
			t.Errorf("not a member, while the group has some: %v", kerr.ErrorForCode(c))
		}
		// A commit keeps the session alive.
		for range 5 {
			time.Sleep(9 * time.Second)
			if c := commit(a.id, a.generation); c != 0 {
				t.Fatalf("a member that commits regularly: %v", kerr.ErrorForCode(c))
			}
		}
	})
}

// withIDs also identifies topics as version 10 does.
func withIDs(req kmsg.Request, topics ...*meta.Topic) kmsg.Request {
	id := func(name string) (id topic.ID) {
		for _, t := range topics {
			if t.Name == name {
				id = t.ID
			}
		}
		return id
	}
	switch req := req.(type) {
	case *kmsg.OffsetCommitRequest:
		for i := range req.Topics {
			req.Topics[i].TopicID = id(req.Topics[i].Topic)
		}
	case *kmsg.OffsetFetchRequest:
		for _, g := range req.Groups {
			for i := range g.Topics {
				g.Topics[i].TopicID = id(g.Topics[i].Topic)
			}
		}
	}
	return req
}

// shown formats an OffsetFetch response of any version, with names instead of topic ids.
func shown(resp *kmsg.OffsetFetchResponse, topics ...*meta.Topic) string {
	name := map[topic.ID]string{{}: ""}
	for _, t := range topics {
		name[t.ID] = t.Name
	}
	show := ""
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			show += fmt.Sprint(rt.Topic, " ", p.Partition, " ", p.Offset, " ", *p.Metadata, " ", p.ErrorCode, ";")
		}
	}
	for _, g := range resp.Groups {
		show += g.Group + ":"
		for _, rt := range g.Topics {
			for _, p := range rt.Partitions {
				show += fmt.Sprint(rt.Topic, name[rt.TopicID], " ", p.Partition, " ", p.Offset, " ", *p.Metadata, " ", p.ErrorCode, ";")
			}
		}
	}
	return show
}

func TestEveryVersionOfOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders, bills := newTopic("orders", 3), newTopic("bills", 1)
		h := start(t, newStore(orders, bills), devConfig())
		for v := int16(1); v <= 10; v++ {
			req := commitRequest("g", "", -1, at{"orders", 1, int64(100 + v), "m"}, at{"bills", 0, 7, ""})
			req.Topics[0].Partitions[0].LeaderEpoch = 4
			if v >= 2 { // the first version of OffsetCommit
				if got := codes(t, h.send(v, withIDs(req, orders, bills))); fmt.Sprint(got) != "[0 0]" {
					t.Fatalf("commit v%d: %v", v, got)
				}
			} else {
				codes(t, h.send(6, req))
			}
			fetch := kmsg.NewPtrOffsetFetchRequest()
			fetch.Group = "g"
			ft := kmsg.NewOffsetFetchRequestTopic()
			ft.Topic, ft.Partitions = "orders", []int32{0, 1, 1, 99}
			fetch.Topics = append(fetch.Topics, ft)
			fg := kmsg.NewOffsetFetchRequestGroup()
			gt := kmsg.NewOffsetFetchRequestGroupTopic()
			gt.Topic, gt.Partitions = ft.Topic, ft.Partitions
			fg.Group, fg.Topics = "g", append(fg.Topics, gt)
			nobody := kmsg.NewOffsetFetchRequestGroup()
			nobody.Group = "nobody"
			fetch.Groups = append(fetch.Groups, fg, nobody, fg)
			resp := answer[*kmsg.OffsetFetchResponse](t, h.send(v, withIDs(fetch, orders, bills)))
			want := fmt.Sprintf("orders 0 -1  0;orders 1 %d m 0;orders 99 -1  0;", 100+v)
			if v >= 8 {
				want = "g:" + want + "nobody:"
			}
			if show := shown(resp, orders, bills); show != want || resp.ErrorCode != 0 {
				t.Errorf("fetch v%d: %s, want %s", v, show, want)
			}
			if epoch := epochOf(resp); v >= 6 && epoch != 4 || v < 6 && epoch != -1 {
				t.Errorf("fetch v%d: epoch %d", v, epoch)
			}
		}
	})
}

// Since version 10 a topic is identified by its id: an unknown or deleted one is
// UNKNOWN_TOPIC_ID, and one recreated with the same name is different.
func TestOffsetsOfTopicsByID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders, again, bills := newTopic("orders", 3), newTopic("orders", 3), newTopic("bills", 1)
		s := newStore(orders, bills)
		h := start(t, s, devConfig())
		unknown := kerr.UnknownTopicID.Code
		commit := func(orders *meta.Topic, partition int32) string {
			req := commitRequest("g", "", -1, at{"orders", partition, 5, ""}, at{"none", 0, 5, ""}, at{"bills", 0, 6, ""})
			return fmt.Sprint(codes(t, h.send(10, withIDs(req, orders, bills))))
		}
		fetch := func(all bool) string {
			req := kmsg.NewPtrOffsetFetchRequest()
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = "g"
			for _, id := range []topic.ID{orders.ID, again.ID, {9}, bills.ID, {9}, {}} {
				g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{TopicID: id, Partitions: []int32{0}})
			}
			if all {
				g.Topics = nil
			}
			req.Groups = append(req.Groups, g)
			resp := answer[*kmsg.OffsetFetchResponse](t, h.send(10, req))
			return shown(resp, &meta.Topic{Name: "old", ID: orders.ID}, &meta.Topic{Name: "new", ID: again.ID}, bills)
		}
		if got, want := commit(orders, 0), fmt.Sprint([]int16{0, unknown, 0}); got != want {
			t.Errorf("commit: %s, want %s", got, want)
		}
		if got, want := commit(orders, 3), fmt.Sprint([]int16{kerr.UnknownTopicOrPartition.Code, unknown, 0}); got != want {
			t.Errorf("commit to an unknown partition: %s, want %s", got, want)
		}
		if got, want := fetch(false), fmt.Sprintf("g:old 0 5  0;new 0 -1  %[1]d; 0 -1  %[1]d;bills 0 6  0; 0 -1  %[1]d;", unknown); got != want {
			t.Errorf("fetch: %s, want %s", got, want)
		}
		s.setTopics(again, bills)
		if got, want := commit(orders, 0), fmt.Sprint([]int16{unknown, unknown, 0}); got != want {
			t.Errorf("commit to a deleted topic: %s, want %s", got, want)
		}
		if got, want := fetch(false), fmt.Sprintf("g:old 0 -1  %[1]d;new 0 -1  0; 0 -1  %[1]d;bills 0 6  0; 0 -1  %[1]d;", unknown); got != want {
			t.Errorf("fetch of a recreated topic: %s, want %s", got, want)
		}
		if got := fetch(true); got != "g:bills 0 6  0;" {
			t.Errorf("all offsets: %s", got)
		}
	})
}

// epochOf returns the leader epoch of the second partition.
func epochOf(resp *kmsg.OffsetFetchResponse) int32 {
	if len(resp.Groups) > 0 {
		return resp.Groups[0].Topics[0].Partitions[1].LeaderEpoch
	}
	return resp.Topics[0].Partitions[1].LeaderEpoch
}

func TestFetchOfAllTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders, bills := newTopic("orders", 3), newTopic("bills", 1)
		s := newStore(orders, bills)
		h := start(t, s, devConfig())
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 2, 12, ""}, at{"orders", 0, 10, ""}, at{"bills", 0, 7, ""})))
		all := func() string {
			show := ""
			old := kmsg.NewPtrOffsetFetchRequest()
			old.Group, old.Topics = "g", nil
			for _, rt := range answer[*kmsg.OffsetFetchResponse](t, h.send(7, old)).Topics {
				for _, p := range rt.Partitions {
					show += fmt.Sprintf("%s/%d=%d ", rt.Topic, p.Partition, p.Offset)
				}
			}
			req, shown := kmsg.NewPtrOffsetFetchRequest(), ""
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.Topics = "g", nil
			req.Groups = append(req.Groups, g)
			for _, rt := range answer[*kmsg.OffsetFetchResponse](t, h.send(9, req)).Groups[0].Topics {
				for _, p := range rt.Partitions {
					shown += fmt.Sprintf("%s/%d=%d ", rt.Topic, p.Partition, p.Offset)
				}
			}
			if shown != show {
				t.Errorf("v9 has %s, v7 %s", shown, show)
			}
			return show
		}
		if got := all(); got != "bills/0=7 orders/0=10 orders/2=12 " {
			t.Errorf("all: %s", got)
		}
		// Deleted and recreated: nobody has committed for the new topic.
		s.setTopics(orders, newTopic("bills", 1))
		if got := all(); got != "orders/0=10 orders/2=12 " || h.offset("g", "bills", 0) != -1 {
			t.Errorf("all offsets after bills was deleted: %s", got)
		}
		h.restart()
		if got := all(); got != "orders/0=10 orders/2=12 " {
			t.Errorf("all offsets after a restart: %s", got)
		}
	})
}

func TestOffsetDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2), newTopic("bills", 2)), devConfig())
		del := func(group string) string {
			req := kmsg.NewPtrOffsetDeleteRequest()
			req.Group = group
			for _, name := range []string{"orders", "bills", "nothing"} {
				dt := kmsg.NewOffsetDeleteRequestTopic()
				dt.Topic = name
				dt.Partitions = append(dt.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
				req.Topics = append(req.Topics, dt)
			}
			req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: "orders"}) // omitted without partitions
			resp := answer[*kmsg.OffsetDeleteResponse](t, h.send(0, req))
			show := fmt.Sprint(resp.ErrorCode)
			for _, rt := range resp.Topics {
				show += " " + rt.Topic
				for _, p := range rt.Partitions {
					show += fmt.Sprintf("=%d", p.ErrorCode)
				}
			}
			return show
		}
		if got := del("g"); got != "69" { // GROUP_ID_NOT_FOUND
			t.Errorf("no group: %s", got)
		}
		if got := del(""); got != "24" { // INVALID_GROUP_ID
			t.Errorf("no name: %s", got)
		}
		codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""}, at{"orders", 1, 1, ""}, at{"bills", 0, 1, ""})))
		a := h.consumer("g")
		stabilize(a)                                                 // subscribes to orders
		if got := del("g"); got != "0 orders=86 bills=0 nothing=3" { // GROUP_SUBSCRIBED_TO_TOPIC
			t.Errorf("with a member: %s", got)
		}
		if h.offset("g", "bills", 0) != -1 || h.offset("g", "orders", 0) != 1 {
			t.Error("the wrong offsets were deleted")
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = "g", a.id
		if resp := answer[*kmsg.LeaveGroupResponse](t, h.send(2, leave)); resp.ErrorCode != 0 {
			t.Fatalf("leave: %+v", resp)
		}
		if got := del("g"); got != "0 orders=0 bills=0 nothing=3" || h.offset("g", "orders", 0) != -1 || h.offset("g", "orders", 1) != 1 {
			t.Errorf("without members: %s", got)
		}
		other := h.consumer("connect")
		req := other.joinRequest("orders")
		req.ProtocolType = "connect"
		answer[*kmsg.JoinGroupResponse](t, h.send(3, req))
		if got := del("connect"); got != "68" { // NON_EMPTY_GROUP
			t.Errorf("group of another protocol: %s", got)
		}
	})
}

func TestClearAndSetInOneWrite(t *testing.T) {
	p, q := topic.Partition{Index: 1}, topic.Partition{Index: 2}
	var c change
	c.set(offsets{p: {Offset: 1}, q: {Offset: 2}})
	c.clear([]topic.Partition{p})
	if len(c.Set) != 1 || len(c.Clear) != 1 || c.Clear[0] != p {
		t.Errorf("set, then cleared: %+v", c)
	}
	c.set(offsets{p: {Offset: 3}})
	if c.Set[p].Offset != 3 || len(c.Clear) != 0 {
		t.Errorf("cleared, then set: %+v", c)
	}
}

// TestOfflineGroup: for a group in an offline shard the only response is that the coordinator
// is not available; an unknown offset is not the same as no offset.
func TestOfflineGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 3))
		s.setOffline("g")
		h := start(t, s, devConfig())
		unavailable := kerr.CoordinatorNotAvailable.Code
		for version := int16(0); version < 10; version++ {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Group = "g"
			req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "orders", Partitions: []int32{2, 0, 2}}}
			req.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "orders", Partitions: []int32{2, 0, 2}}}},
				{Group: "other"}}
			resp := answer[*kmsg.OffsetFetchResponse](t, h.send(version, req))
			switch {
			case version < 8:
				if version >= 2 && resp.ErrorCode != unavailable {
					t.Errorf("version %d: code %d", version, resp.ErrorCode)
				}
				if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[0].ErrorCode != unavailable {
					t.Errorf("version %d: %+v", version, resp.Topics)
				}
			case len(resp.Groups) != 2 || resp.Groups[0].ErrorCode != unavailable || resp.Groups[1].ErrorCode != 0:
				t.Errorf("version %d: %+v", version, resp.Groups)
			}
		}
		if got := codes(t, h.send(2, commitRequest("g", "", -1, at{"orders", 0, 1, ""}))); got[0] != unavailable {
			t.Errorf("commit: %v", got)
		}
		join := kmsg.NewPtrJoinGroupRequest()
		join.Group, join.ProtocolType, join.SessionTimeoutMillis = "g", "consumer", 10_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		if resp := answer[*kmsg.JoinGroupResponse](t, h.send(5, join)); resp.ErrorCode != unavailable {
			t.Errorf("join: %d", resp.ErrorCode)
		}
		if len(s.changes) != 0 || h.used().groups != 0 {
			t.Errorf("%d changes, %d groups", len(s.changes), h.used().groups)
		}
	})
}
