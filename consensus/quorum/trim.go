package quorum

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
)

// logSize counts the bytes of a shard's log since its last snapshot. Dragonboat takes a
// snapshot after a number of commands, however large; disk usage and start time depend on their
// bytes. The replica calls its methods one at a time.
type logSize struct {
	shard    int
	limit    int64
	trim     chan<- int // capacity for every shard
	bytes    atomic.Int64
	entries  atomic.Int64
	snapshot int64 // size of the last one; less than that is not worth a snapshot
	asked    atomic.Bool
}

// applied counts a command of n bytes.
func (l *logSize) applied(n int) {
	l.entries.Add(1)
	if l.bytes.Add(int64(n)) > max(l.limit, l.snapshot) && l.asked.CompareAndSwap(false, true) {
		l.trim <- l.shard
	}
}

// save writes a snapshot of everything applied.
func (l *logSize) save(w io.Writer, snapshot []byte) error {
	_, err := w.Write(snapshot)
	if err == nil {
		l.saved(len(snapshot))
	}
	return err
}

// saved records that a snapshot of n bytes covers everything applied.
func (l *logSize) saved(n int) {
	l.snapshot = int64(n)
	l.bytes.Store(0)
	l.entries.Store(0)
}

// trims takes snapshots of shards with large logs, so that the logs are truncated, until ctx is
// done.
func (q *Quorum) trims(ctx context.Context) {
	for {
		select {
		case shard := <-q.trim:
			q.snapshot(ctx, shard)
		case <-ctx.Done():
			return
		}
	}
}

// snapshot makes a shard take one. An eighth of the log is kept, as after dragonboat's own
// snapshots. It is not an error if one is being taken already.
func (q *Quorum) snapshot(ctx context.Context, shard int) {
	l := q.logs[shard]
	defer l.asked.Store(false)
	asked, err := q.host.RequestSnapshot(raftShard(shard), dragonboat.SnapshotOption{OverrideCompactionOverhead: true,
		CompactionOverhead: uint64(max(1, l.entries.Load()/8))}, snapshotTimeout)
	if err != nil {
		q.log.Debug("cannot request a snapshot", "shard", shard, "err", err)
		return
	}
	defer asked.Release()
	select {
	case r := <-asked.ResultC():
		q.log.Debug("took a snapshot because the log is large", "shard", shard, "done", r.Completed(), "rejected", r.Rejected())
	case <-ctx.Done():
	}
}

// snapshotTimeout is how long to wait for a snapshot.
const snapshotTimeout = time.Minute
