package group

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (h *harness) describe(version int16, groups ...string) []kmsg.DescribeGroupsResponseGroup {
	h.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = groups, true
	return answer[*kmsg.DescribeGroupsResponse](h.t, h.send(version, req)).Groups
}

func TestEveryVersionOfDescribeGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		one := "one"
		m := h.consumer("stable")
		m.instance = &one
		stabilize(m)
		codes(t, h.send(9, commitRequest("simple", "", -1, at{"orders", 0, 1, ""})))
		for v := int16(0); v <= 6; v++ {
			gs := h.describe(v, "stable", "simple", "nobody", "stable")
			if len(gs) != 3 {
				t.Fatalf("v%d: %d groups", v, len(gs))
			}
			g := gs[0]
			if g.Group != "stable" || g.ErrorCode != 0 || g.State != "Stable" || g.ProtocolType != "consumer" || g.Protocol != "range" || len(g.Members) != 1 {
				t.Fatalf("v%d: %+v", v, g)
			}
			if got := g.Members[0]; got.MemberID != m.id || got.ClientID != "client" || got.ClientHost != "/127.0.0.1" ||
				string(got.MemberAssignment) != "for "+m.id || len(got.ProtocolMetadata) == 0 || v >= 4 && *got.InstanceID != one {
				t.Errorf("v%d: %+v", v, got)
			}
			if v >= 3 && g.AuthorizedOperations != 3400 { // like Kafka
				t.Errorf("v%d: operations %d", v, g.AuthorizedOperations)
			}
			if g := gs[1]; g.State != "Empty" || g.ErrorCode != 0 || len(g.Members) != 0 {
				t.Errorf("v%d: %+v", v, g)
			}
			g = gs[2]
			if want := int32(math.MinInt32); v >= 3 && v < 6 && g.AuthorizedOperations != 3400 || v >= 6 && g.AuthorizedOperations != want {
				t.Errorf("v%d: operations %d on an unknown group", v, g.AuthorizedOperations)
			}
			if g.State != "Dead" || v < 6 && g.ErrorCode != 0 || v >= 6 && (g.ErrorCode != kerr.GroupIDNotFound.Code || !strings.Contains(*g.ErrorMessage, "nobody")) {
				t.Errorf("v%d: %+v", v, g)
			}
		}
		if len(h.describe(6)) != 0 {
			t.Error("an empty request described something")
		}
	})
}

func TestEveryVersionOfListGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		stabilize(h.consumer("stable"))
		for i := range 20 {
			codes(t, h.send(9, commitRequest(fmt.Sprintf("simple%02d", i), "", -1, at{"orders", 0, 1, ""})))
		}
		list := func(v int16, states, types []string) []kmsg.ListGroupsResponseGroup {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter, req.TypesFilter = states, types
			resp := answer[*kmsg.ListGroupsResponse](t, h.send(v, req))
			if resp.ErrorCode != 0 {
				t.Fatalf("list: %+v", resp)
			}
			return resp.Groups
		}
		for v := int16(0); v <= 5; v++ {
			all := list(v, nil, nil)
			if len(all) != 21 || !slices.IsSortedFunc(all, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) }) {
				t.Fatalf("v%d: %+v", v, all)
			}
			g := all[20]
			if g.Group != "stable" || g.ProtocolType != "consumer" || v >= 4 && g.GroupState != "Stable" || v >= 5 && g.GroupType != "classic" {
				t.Errorf("v%d: %+v", v, g)
			}
		}
		for _, c := range []struct {
			states, types []string
			want          int
		}{{[]string{"stable"}, nil, 1}, {[]string{"Empty", "Dead"}, nil, 20}, {[]string{"Nonsense"}, nil, 0},
			{nil, []string{"Classic"}, 21}, {nil, []string{"consumer"}, 0}, {[]string{"Stable"}, []string{"classic"}, 1}} {
			if got := list(5, c.states, c.types); len(got) != c.want {
				t.Errorf("%v %v: %d groups, want %d", c.states, c.types, len(got), c.want)
			}
		}
	})
}

func (h *harness) delete(version int16, groups ...string) []int16 {
	h.t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = groups
	var all []int16
	for _, g := range answer[*kmsg.DeleteGroupsResponse](h.t, h.send(version, req)).Groups {
		all = append(all, g.ErrorCode)
	}
	return all
}

func TestEveryVersionOfDeleteGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		h := start(t, s, devConfig())
		stabilize(h.consumer("stable"))
		for v := int16(0); v <= 3; v++ {
			codes(t, h.send(9, commitRequest("simple", "", -1, at{"orders", 0, 1, ""})))
			got := h.delete(v, "simple", "stable", "nobody", "", "simple", strings.Repeat("g", maxName+1))
			want := []int16{0, kerr.NonEmptyGroup.Code, kerr.GroupIDNotFound.Code, kerr.GroupIDNotFound.Code, kerr.GroupIDNotFound.Code}
			if !slices.Equal(got, want) {
				t.Errorf("v%d: %v, want %v", v, got, want)
			}
			if _, there := s.Group("simple"); there || h.offset("simple", "orders", 0) != -1 || h.used().groups != 1 {
				t.Errorf("v%d: the group still exists", v)
			}
			// Some clients used the empty group id: such a group can be deleted.
			codes(t, h.send(9, commitRequest("", "", -1, at{"orders", 0, 1, ""})))
			if got := h.delete(v, ""); got[0] != 0 || h.offset("", "orders", 0) != -1 {
				t.Errorf("v%d: empty group id: %v", v, got)
			}
		}
	})
}

func TestDeletionAndCommitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newTopic("orders", 2))
		s.setDelay(time.Second)
		h := start(t, s, devConfig())
		first := h.send(9, commitRequest("g", "", -1, at{"orders", 0, 1, ""}))
		second := h.send(9, commitRequest("g", "", -1, at{"orders", 0, 2, ""}))
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"g"}
		del := h.send(2, req)
		late := h.send(9, commitRequest("g", "", -1, at{"orders", 0, 3, ""}))
		if got := codes(t, late); got[0] != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("commit while the group is deleted: %v", got)
		}
		if a, b := codes(t, first), codes(t, second); a[0] != 0 || b[0] != 0 {
			t.Errorf("commits before: %v %v", a, b)
		}
		if got := answer[*kmsg.DeleteGroupsResponse](t, del); got.Groups[0].ErrorCode != 0 {
			t.Errorf("delete: %+v", got)
		}
		if got := codes(t, h.send(9, commitRequest("g", "", -1, at{"orders", 1, 4, ""}))); got[0] != 0 {
			t.Errorf("commit after: %v", got)
		}
		if h.offset("g", "orders", 0) != -1 || h.offset("g", "orders", 1) != 4 {
			t.Error("the group still has offsets from before its deletion")
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, newStore(newTopic("orders", 2)), devConfig())
		stabilize(h.consumer("stable"))
		codes(t, h.send(9, commitRequest("simple", "", -1, at{"orders", 0, 1, ""}, at{"orders", 1, 1, ""})))
		err := testutil.GatherAndCompare(h.reg, strings.NewReader(`
# HELP sluice_groups Consumer groups, by state.
# TYPE sluice_groups gauge
sluice_groups{state="CompletingRebalance"} 0
sluice_groups{state="Dead"} 0
sluice_groups{state="Empty"} 1
sluice_groups{state="PreparingRebalance"} 0
sluice_groups{state="Stable"} 1
# HELP sluice_group_rebalances_total Generations started.
# TYPE sluice_group_rebalances_total counter
sluice_group_rebalances_total 1
# HELP sluice_group_committed_offsets_total Offsets written.
# TYPE sluice_group_committed_offsets_total counter
sluice_group_committed_offsets_total 2
`), "sluice_groups", "sluice_group_rebalances_total", "sluice_group_committed_offsets_total")
		if err != nil {
			t.Error(err)
		}
	})
}
