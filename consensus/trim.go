package consensus

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
)

// logSize counts what a shard's log has beyond its last snapshot. Dragonboat takes a
// snapshot after so many commands, however large they are; what bounds the disk, and the
// time of a start, is their bytes. The replica calls its methods one at a time.
type logSize struct {
	shard    int
	limit    int64
	trim     chan<- int // has room for every shard
	bytes    atomic.Int64
	entries  atomic.Int64
	snapshot int64 // size of the last one; a snapshot is not worth it for less
	asked    atomic.Bool
}

// applied counts a command of n bytes.
func (l *logSize) applied(n int) {
	l.entries.Add(1)
	if l.bytes.Add(int64(n)) > max(l.limit, l.snapshot) && l.asked.CompareAndSwap(false, true) {
		l.trim <- l.shard
	}
}

// save writes a snapshot of everything that was applied.
func (l *logSize) save(w io.Writer, snapshot []byte) error {
	_, err := w.Write(snapshot)
	if err == nil {
		l.saved(len(snapshot))
	}
	return err
}

// saved notes that a snapshot of n bytes was taken of everything that was applied.
func (l *logSize) saved(n int) {
	l.snapshot = int64(n)
	l.bytes.Store(0)
	l.entries.Store(0)
}

// trims takes snapshots of shards whose logs are large, so that these are cut, until
// ctx is done.
func (c *Cluster) trims(ctx context.Context) {
	for {
		select {
		case shard := <-c.trim:
			c.snapshot(ctx, shard)
		case <-ctx.Done():
			return
		}
	}
}

// snapshot has a shard take one. Of the log an eighth stays, as after those that
// dragonboat takes by itself. It is no failure if there was one at that moment.
func (c *Cluster) snapshot(ctx context.Context, shard int) {
	l := c.logs[shard]
	defer l.asked.Store(false)
	asked, err := c.host.RequestSnapshot(raftShard(shard), dragonboat.SnapshotOption{OverrideCompactionOverhead: true,
		CompactionOverhead: uint64(max(1, l.entries.Load()/8))}, snapshotTimeout)
	if err != nil {
		c.log.Debug("no snapshot could be asked for", "shard", shard, "err", err)
		return
	}
	defer asked.Release()
	select {
	case r := <-asked.ResultC():
		c.log.Debug("took a snapshot, since the log is large", "shard", shard, "done", r.Completed(), "rejected", r.Rejected())
	case <-ctx.Done():
	}
}

// snapshotTimeout is for how long a snapshot is waited for.
const snapshotTimeout = time.Minute
