package commit_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/stages/commit"
)

func TestHighWatermark(t *testing.T) {
	for _, c := range []struct {
		name      string
		leader    int64
		followers []int64
		minISR    int
		want      int64
		ok        bool
	}{
		{"alone", 10, nil, 1, 10, true},
		{"alone, two required", 10, nil, 2, 0, false},
		{"slowest decides", 10, []int64{7, 9}, 2, 7, true},
		{"leader may be the slowest", 5, []int64{7, 9}, 2, 5, true},
		{"too few", 10, []int64{10}, 3, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if hw, ok := commit.HighWatermark(c.leader, c.followers, c.minISR); hw != c.want || ok != c.ok {
				t.Errorf("got %d, %v; want %d, %v", hw, ok, c.want, c.ok)
			}
		})
	}
}

// A committed offset is on every replica that counts, so no failover loses it.
func TestHighWatermarkIsOnEveryReplica(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leader := rapid.Int64Range(0, 1000).Draw(t, "leader")
		followers := rapid.SliceOfN(rapid.Int64Range(0, 1000), 0, 5).Draw(t, "followers")
		hw, ok := commit.HighWatermark(leader, followers, rapid.IntRange(1, 4).Draw(t, "min"))
		for _, end := range append(followers, leader) {
			if ok && end < hw {
				t.Fatalf("high watermark %d is above a replica's end %d", hw, end)
			}
		}
	})
}
