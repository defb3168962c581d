package consensus

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
)

// TestAGroupIsThereWhileItsShardIsReset: while a snapshot replaces a shard's state, readers always see
// a group that is in both the old state and the new.
func TestAGroupIsThereWhileItsShardIsReset(t *testing.T) {
	p := newProjection(1, nil)
	var all machine.Changes
	for i := range 2000 {
		name := fmt.Sprint("g", i)
		all.Groups = append(all.Groups, machine.GroupChange{Name: name, Now: &meta.Group{Name: name}})
	}
	p.shard(1, all)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, ok := p.groups.get("g1999"); !ok {
					t.Error("a group was missing")
					return
				}
				if n := len(p.groups.list()); n < 2000 {
					t.Errorf("%d groups of 2000", n)
					return
				}
			}
		})
	}
	for i := range 100 {
		gone := machine.GroupChange{Name: "new", Now: &meta.Group{Name: "new", Generation: int32(i)}}
		p.resetShard(1, machine.Changes{Groups: append(all.Groups[:2000:2000], gone)})
	}
	close(stop)
	readers.Wait()
	p.resetShard(1, all)
	if _, ok := p.groups.get("new"); ok {
		t.Error("a group that is not in the snapshot still exists")
	}
}
