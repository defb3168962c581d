package failover

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/chaos/traffic"
)

func leaders(nodes ...int) []traffic.State {
	var out []traffic.State
	for _, n := range nodes {
		out = append(out, traffic.State{Leader: n})
	}
	return out
}

func TestVictimsTakeTurns(t *testing.T) {
	for _, tc := range []struct {
		leaders    []int
		last, want int
	}{
		{[]int{0, 1, 2}, -1, 0},
		{[]int{0, 1, 2}, 0, 1},
		{[]int{0, 1, 2}, 2, 0},
		{[]int{0, 0, 2}, 0, 2},    // 1 leads nothing
		{[]int{2, 2, 2}, 2, 2},    // nobody else does
		{[]int{-1, -1, -1}, 0, 1}, // nobody at all
	} {
		if got := victim(leaders(tc.leaders...), 3, tc.last); got != tc.want {
			t.Errorf("leaders %v, last %d: %d, want %d", tc.leaders, tc.last, got, tc.want)
		}
	}
}

func TestPartitionsAreCountedWhereTheyWereLed(t *testing.T) {
	s := time.Second
	e := event(1, leaders(0, 1, 2, 1), []time.Duration{s, 2 * s, 3 * s, 4 * s})
	if e.Node != 2 || e.Led != 2 || !slices.Equal(e.LedOutages, []time.Duration{2 * s, 4 * s}) || !slices.Equal(e.OtherOutages, []time.Duration{s, 3 * s}) {
		t.Errorf("%+v", e)
	}
	f := event(0, leaders(0, 1, 2, 1), []time.Duration{6 * s, s, s, s})
	f.Return = 9 * s
	r := Report{Events: []Event{e, f}}
	r.compute()
	if r.Led.Count != 2 || r.Led.P50 != 4*s || r.Led.Max != 6*s || r.LedEach.Count != 3 || r.LedEach.P50 != 4*s {
		t.Errorf("led: %+v, each %+v", r.Led, r.LedEach)
	}
	if r.Others.P50 != s || r.Others.Max != 3*s || r.OthersEach.Count != 5 || r.Return.Max != 9*s {
		t.Errorf("others: %+v, each %+v, return %+v", r.Others, r.OthersEach, r.Return)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "6000") || !strings.Contains(text, "9000") {
		t.Errorf("the figures are not in\n%s", text)
	}
}
