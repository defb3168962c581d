package node

import (
	"context"
	"time"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/stages/upload"
)

// tailIndex limits the memory of the indexes of all batches in the WAL. From half of the limit
// it requests uploads, which empty them; at the limit writes wait, as they do when the WAL is
// full.
//
// A writer announces how many batches follow, so that the limit covers them, except for a group
// that alone could take more than half of it. Recovery is exempt: everything in the WAL has to
// be found.
type tailIndex struct {
	account  *memory.Account
	hurry    func(reason string)
	stopping <-chan struct{} // closed by letGo; then room does not wait

	asked int64 // usage when an upload was last requested
}

// steps is how many uploads are requested between half of the limit and the limit.
const steps = 4

// retryRoom is how often a waiting writer requests an upload again.
const retryRoom = time.Second

// room waits until n batches may be added. It is called by one goroutine.
func (x *tailIndex) room(ctx context.Context, n int) {
	limit := x.account.Limit()
	need := min(int64(n)*partition.AppendMemory, limit/2)
	used := x.account.Used()
	x.asked = min(x.asked, used)
	if used > limit/2 && used-x.asked >= limit/2/steps {
		x.asked = used
		x.hurry(upload.Index)
	}
	for x.account.Used()+need > limit {
		x.hurry(upload.Index)
		timer := time.NewTimer(retryRoom)
		select {
		case <-x.account.Freed():
		case <-timer.C:
		case <-x.stopping:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}
