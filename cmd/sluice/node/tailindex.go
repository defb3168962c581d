package node

import (
	"context"
	"time"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/stages/upload"
)

// tailIndex bounds what the indexes of all partitions' batches in the WAL take. From
// half the limit on it asks for uploads, which empty them; at the limit what is being
// written waits, as it does when the WAL is full.
//
// Whoever appends says how many batches come, so that the limit holds for them too,
// but for a group that alone could take more than half of it. Recovery asks nobody: what
// is in the WAL has to be found.
type tailIndex struct {
	account  *memory.Account
	hurry    func(reason string)
	stopping <-chan struct{} // what is written already is let in

	asked int64 // what was used when an upload was asked for last
}

// steps is how many uploads are asked for between half the limit and the limit.
const steps = 4

// retryRoom is how often one who waits asks for an upload again.
const retryRoom = time.Second

// room waits until n batches may be added. One goroutine calls it.
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
