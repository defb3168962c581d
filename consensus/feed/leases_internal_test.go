package feed

import (
	"testing"
	"time"
)

// The table: what happens, at which ms, and which brokers are due then.
func TestLeases(t *testing.T) {
	const lease, grace = 3000, 100
	type step struct {
		at     int
		do     string // open, heard, broke, refused, listens, lead, unlead; empty: nothing
		broker int32
		inc    uint64
		due    []int32
	}
	registered := []Registered{{Broker: 1, Incarnation: 5}, {Broker: 2, Incarnation: 9}}
	for name, steps := range map[string][]step{
		"a process that died is due after the grace": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil}, {1000, "heard", 2, 9, nil},
			{1000, "broke", 1, 5, nil}, {1099, "", 0, 0, nil}, {1100, "", 0, 0, []int32{1}}},
		"one that reconnects within the grace is not": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil},
			{1000, "broke", 1, 5, nil}, {1099, "open", 1, 5, nil}, {1300, "", 0, 0, nil}, {2500, "", 0, 0, nil}},
		"a silent one is due after the lease": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil}, {1400, "heard", 1, 5, nil},
			{2800, "heard", 1, 5, nil}, {2999, "", 0, 0, nil}, {3000, "", 0, 0, []int32{2}}, {4300, "", 0, 0, []int32{2}}, {5800, "", 0, 0, []int32{1, 2}}},
		"one of two streams that breaks means nothing": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil},
			{500, "broke", 1, 5, nil}, {1500, "", 0, 0, nil}},
		"the grace never outlasts the lease": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil}, {1450, "heard", 2, 9, nil}, {2900, "heard", 2, 9, nil},
			{2950, "broke", 1, 5, nil}, {3000, "", 0, 0, []int32{1}}},
		"a new leader knows what it saw, and gives others the lease": {
			{0, "open", 1, 5, nil}, {900, "broke", 1, 5, nil}, {1000, "lead", 0, 0, []int32{1}},
			{2400, "", 0, 0, []int32{1}}, {3700, "", 0, 0, []int32{1}}, {3999, "", 0, 0, []int32{1}}, {4000, "", 0, 0, []int32{1, 2}}},
		"a new leader gives the lease where it heard nothing for long": {
			{0, "open", 1, 5, nil}, {100, "broke", 1, 5, nil}, {100, "open", 2, 9, nil}, {200, "broke", 2, 9, nil}, {1300, "open", 2, 9, nil},
			{2500, "heard", 2, 9, nil}, {3200, "lead", 0, 0, nil}, {4600, "heard", 2, 9, nil}, {6000, "heard", 2, 9, nil}, {6199, "", 0, 0, nil}, {6200, "", 0, 0, []int32{1}}},
		"a process of which nothing is heard and that does not listen is due after the grace": {
			{0, "lead", 0, 0, nil}, {0, "open", 2, 9, nil}, {200, "refused", 1, 5, nil}, {250, "refused", 1, 5, nil}, {299, "", 0, 0, nil}, {300, "", 0, 0, []int32{1}}},
		"one that listens again is not": {
			{0, "lead", 0, 0, nil}, {0, "open", 2, 9, nil}, {200, "refused", 1, 5, nil}, {250, "listens", 1, 5, nil}, {300, "", 0, 0, nil},
			{1400, "heard", 2, 9, nil}, {2800, "heard", 2, 9, nil}, {2999, "", 0, 0, nil}, {3000, "", 0, 0, []int32{1}}},
		"nor one that was heard meanwhile, or another process": {
			{0, "lead", 0, 0, nil}, {0, "open", 2, 9, nil}, {200, "refused", 1, 5, nil}, {250, "open", 1, 5, nil}, {260, "refused", 1, 5, nil}, {270, "refused", 2, 8, nil}, {400, "", 0, 0, nil}},
		"the stream of an earlier process counts for nothing": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 4, nil}, {0, "open", 2, 9, nil}, {1400, "heard", 2, 9, nil}, {2800, "heard", 2, 9, nil},
			{3000, "", 0, 0, []int32{1}}},
		"time in which the controller did not run is not counted": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil}, {60000, "", 0, 0, nil}, {61400, "", 0, 0, nil},
			{62800, "", 0, 0, nil}, {63000, "", 0, 0, []int32{1, 2}}},
		"nor in the grace": {
			{0, "lead", 0, 0, nil}, {0, "open", 1, 5, nil}, {0, "open", 2, 9, nil}, {10, "broke", 1, 5, nil}, {60010, "", 0, 0, nil}, {60110, "", 0, 0, []int32{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			l, start := newLeases(lease*time.Millisecond, grace*time.Millisecond), time.Now()
			for i, s := range steps {
				now := start.Add(time.Duration(s.at) * time.Millisecond)
				switch s.do {
				case "open":
					l.opened(s.broker, s.inc, now)
				case "heard":
					if !l.heard(s.broker, s.inc, now) {
						t.Fatalf("step %d: the heartbeat was refused", i)
					}
				case "broke":
					l.broke(s.broker, s.inc, now)
				case "refused", "listens":
					l.looked(Registered{Broker: s.broker, Incarnation: s.inc}, s.do == "listens", now)
				case "lead", "unlead":
					l.leader(s.do == "lead", now)
				}
				if !l.leads {
					continue
				}
				due, next := l.due(registered, now)
				var ids []int32
				for _, r := range due {
					ids = append(ids, r.Broker)
				}
				if len(ids) != len(s.due) || len(ids) > 0 && (ids[0] != s.due[0] || ids[len(ids)-1] != s.due[len(s.due)-1]) {
					t.Errorf("step %d, at %d ms: due %v, want %v", i, s.at, ids, s.due)
				}
				if !next.After(now) {
					t.Errorf("step %d: the next look is not later", i)
				}
			}
		})
	}
}

func TestALaterIncarnationWins(t *testing.T) {
	l, now := newLeases(time.Second, time.Millisecond), time.Now()
	if !l.opened(1, 5, now) || !l.opened(1, 6, now) {
		t.Fatal("a later incarnation was refused")
	}
	if l.opened(1, 5, now) || l.heard(1, 5, now) {
		t.Error("an earlier incarnation has a session beside a later one")
	}
	l.broke(1, 5, now)
	if l.sessions[1].streams != 1 {
		t.Error("the end of an earlier incarnation's stream ended that of the later one")
	}
}
