package node

import "testing"

func TestConnectionsLeaveDescriptorsToTheBroker(t *testing.T) {
	for _, c := range []struct {
		limit uint64
		most  int
		want  int
	}{{1 << 20, 10_000, 10_000}, {10_000, 10_000, 9488}, {1024, 10_000, 512}, {256, 10_000, 128}, {256, 100, 100}} {
		if got := connectionsWithin(c.limit, c.most); got != c.want {
			t.Errorf("of %d open files, %d wanted: %d connections, want %d", c.limit, c.most, got, c.want)
		}
	}
}
