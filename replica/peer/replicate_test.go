package peer_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicemq/sluice/replica/peer"
)

// trio is a leader and two followers, each of which reaches the leader through a proxy.
func trio(t *testing.T, parts int, change ...cfgFunc) (leader *node, followers []*node, proxies []*proxy) {
	leader = newNode(t, 1, parts, change...)
	for _, id := range []int32{2, 3} {
		followers = append(followers, newNode(t, id, parts, change...))
		proxies = append(proxies, newProxy(t, leader.addr))
	}
	leader.join()
	for i, f := range followers {
		f.join()
		leaderOnly := []peer.Broker{{ID: 1, Incarnation: 1, Address: proxies[i].addr()}}
		f.peers.Update(leaderOnly)
	}
	leader.peers.Update([]peer.Broker{{ID: 2, Incarnation: 1}, {ID: 3, Incarnation: 1}})
	return leader, followers, proxies
}

// TestAcknowledgedRecordsAreOnBothFollowers: connections break at random while records are
// produced. In the end all three logs are the same, and hold each acknowledged record once.
func TestAcknowledgedRecordsAreOnBothFollowers(t *testing.T) {
	const parts, records = 7, 3000
	small := func(o *peer.Options) {
		o.Config.FrameBytes, o.Config.FollowerWindowBytes = 8<<10, 64<<10
	}
	leader, followers, proxies := trio(t, parts, small)
	sizes := [parts]int{8, 100, 1024, 1025, 5000, 9000, 40} // below and above what is copied, and what fits a frame
	var token uint64
	for n := range records {
		i := rand.IntN(parts)
		token++
		if err := leader.produce(i, token, sizes[i]); err != nil {
			t.Fatal(err)
		}
		switch {
		case n%40 == 0:
			proxies[rand.IntN(2)].breakAll()
		case n%7 == 0:
			for _, f := range followers {
				f.tick()
			}
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // so that breaks find streams in every state
		}
	}
	until(t, "all records are acknowledged", func() bool {
		for _, f := range followers {
			f.tick()
		}
		leader.mu.Lock()
		defer leader.mu.Unlock()
		return len(leader.acked) == records
	})
	for _, f := range followers {
		if err := same(leader, f); err != nil {
			t.Error(err)
		}
	}
	for i := range parts {
		if n := len(leader.parts[i].pending); n != 0 {
			t.Errorf("partition %d: %d appends are pending", i, n)
		}
	}
	for _, f := range followers {
		for _, e := range f.peers.Edges() {
			if !e.Leads || e.ReceivedBytes == 0 {
				t.Errorf("broker %d: %+v", f.id, e)
			}
		}
	}
}

// TestALinkThatIsSilent: nothing passes, and nothing closes. Both sides notice, records under way are
// given up, and a connection that works again is used at once.
func TestALinkThatIsSilent(t *testing.T) {
	silent := func(o *peer.Options) {
		o.Config.PingInterval, o.Config.PingTimeout = 50*time.Millisecond, 500*time.Millisecond
		o.Config.ConnectTimeout = 500 * time.Millisecond
	}
	leader, followers, proxies := trio(t, 1, silent)
	follows := func(is bool) func() bool { return func() bool { return leader.peers.Edges()[0].Follows == is } }
	leads := func(is bool) func() bool {
		return func() bool { return followers[0].peers.Edges()[0].Leads == is }
	}
	until(t, "it is connected", follows(true))
	for round := range uint64(3) {
		proxies[0].freeze(true)
		for n := range uint64(100) { // more than the window
			if err := leader.produce(0, round*1000+n, 100<<10); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		until(t, "the leader notices", follows(false))
		t.Logf("the leader noticed after %s", time.Since(began))
		until(t, "the follower notices", leads(false))
		proxies[0].freeze(false)
		until(t, "it is connected again", follows(true))
	}
	until(t, "all records are acknowledged", func() bool {
		followers[0].tick()
		followers[1].tick()
		leader.mu.Lock()
		defer leader.mu.Unlock()
		return len(leader.acked) == 300
	})
}
