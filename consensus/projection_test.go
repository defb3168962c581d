package consensus

import (
	"fmt"
	"sync"
	"testing"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
)

// TestAGroupIsThereWhileItsShardIsReset: a snapshot that takes the place of a shard has
// the groups that were there before, and no reader sees one away.
func TestAGroupIsThereWhileItsShardIsReset(t *testing.T) {
	p := newProjection(1, nil)
	var all machine.Changes
	for i := range 2000 {
		name := fmt.Sprint("g", i)
		all.Groups = append(all.Groups, machine.GroupChange{Name: name, Now: &meta.Group{Name: name}})
	}
	p.shard(all)
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
					t.Error("a group is away")
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
		t.Error("a group that the snapshot does not have is still there")
	}
}
