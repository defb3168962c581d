package group

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// TestModelOfCommits has simple clients of two groups commit increasing offsets concurrently,
// while writes are slow or fail, the groups are deleted and the coordinator restarts. Every
// request is answered once; acknowledged offsets are there, and no offset goes back except by a
// deletion.
func TestModelOfCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(rt *rapid.T) { modelOfCommits(t, rt) })
	})
}

// bubbled hides the deadline of a test, which must not be read in a bubble.
type bubbled struct{ testing.TB }

// sent is one request in progress.
type sent struct {
	*call
	group   string
	offset  int64 // 0: a deletion
	settled bool
}

func modelOfCommits(t *testing.T, rt *rapid.T) {
	s := newStore(newTopic("orders", 1))
	h := &harness{t: t, store: s, cfg: devConfig()}
	h.cfg.Lanes, h.cfg.Writes = 2, 1
	h.open()
	defer func() { h.c.Close() }()
	next, acked, seen := int64(0), map[string]int64{}, map[string]int64{}
	var calls []*sent
	groups := rapid.SampledFrom([]string{"g", "h"})
	look := func() {
		synctest.Wait()
		for _, c := range calls {
			c.collect(rt, acked, seen)
		}
		for _, g := range []string{"g", "h"} {
			now := max(0, h.offset(g, "orders", 0))
			if now < acked[g] || now < seen[g] {
				rt.Fatalf("group %s: offset %d, acknowledged %d, seen %d", g, now, acked[g], seen[g])
			}
			seen[g] = now
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"": func(*rapid.T) { look() },
		"commit": func(rt *rapid.T) {
			g := groups.Draw(rt, "group")
			for range rapid.IntRange(1, 5).Draw(rt, "n") {
				next++
				calls = append(calls, &sent{call: h.send(9, commitRequest(g, "", -1, at{"orders", 0, next, ""})), group: g, offset: next})
			}
		},
		"delete": func(rt *rapid.T) {
			g := groups.Draw(rt, "group")
			if rapid.IntRange(0, 4).Draw(rt, "rarely") > 0 {
				return
			}
			s.setFailure(nil)
			s.setDelay(0)
			time.Sleep(time.Minute) // everything in progress has ended
			look()
			if code := h.delete(2, g)[0]; code != 0 && code != kerr.GroupIDNotFound.Code {
				rt.Fatalf("delete: %v", kerr.ErrorForCode(code))
			}
			acked[g], seen[g] = 0, 0
		},
		"slow": func(rt *rapid.T) {
			s.setDelay(time.Duration(rapid.IntRange(0, 6000).Draw(rt, "ms")) * time.Millisecond)
		},
		"break": func(*rapid.T) { s.setFailure(errors.New("no quorum")) },
		"mend":  func(*rapid.T) { s.setFailure(nil) },
		"wait": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
		},
		"reopen": func(*rapid.T) { h.restart() },
	})
	h.c.Close()
	look()
	for _, c := range calls {
		if !c.settled {
			rt.Fatalf("the commit of %d has no response", c.offset)
		}
	}
	if s.atOnce > 1 {
		rt.Fatalf("%d writes of one group at once", s.atOnce)
	}
	h.open()
}

// collect reads the response, if it has come. An acknowledged offset is a lower bound from then
// on, unless the group was deleted since.
func (c *sent) collect(rt *rapid.T, acked, seen map[string]int64) {
	got := c.answers()
	if len(got) > 1 {
		rt.Fatalf("the commit of %d got %d responses", c.offset, len(got))
	}
	if len(got) == 0 || c.settled {
		return
	}
	c.settled = true
	switch code := got[0].(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code {
	case 0:
		acked[c.group] = max(acked[c.group], c.offset)
	case kerr.CoordinatorNotAvailable.Code:
	default:
		rt.Fatal(fmt.Sprintf("the commit of %d: %v", c.offset, kerr.ErrorForCode(code)))
	}
}
