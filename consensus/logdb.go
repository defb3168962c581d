package consensus

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
)

// ErrDamaged: a Raft log on disk cannot be read.
var ErrDamaged = errors.New("the metadata log is damaged; put back a copy of the directory")

// readLogs opens the tan store and reads every log once, before anything runs.
// Dragonboat reads them on goroutines of its own, where all it can do about one
// that is damaged is to end the process.
type readLogs struct{ config.LogDBFactory }

func (f readLogs) Create(c config.NodeHostConfig, busy config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	db, err := f.LogDBFactory.Create(c, busy, dirs, wals)
	if err != nil {
		return nil, err
	}
	if err := unpanicked(func() error { return readAll(db) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func readAll(db raftio.ILogDB) error {
	nodes, err := db.ListNodeInfo()
	if err != nil {
		return err
	}
	for _, n := range nodes {
		err := readLog(db, n)
		if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("the disk is full and the metadata log needs some room to be opened; free some: %w", err)
		}
		if err != nil {
			return fmt.Errorf("%w: shard %d: %w", ErrDamaged, n.ShardID-raftShard(0), err)
		}
	}
	return nil
}

// readBytes is how much of a log is in memory at once.
const readBytes = 8 << 20

// readLog reads what follows the last snapshot.
func readLog(db raftio.ILogDB, n raftio.NodeInfo) error {
	snapshot, err := db.GetSnapshot(n.ShardID, n.ReplicaID)
	if err != nil && !errors.Is(err, raftio.ErrNoSavedLog) {
		return err
	}
	state, err := db.ReadRaftState(n.ShardID, n.ReplicaID, snapshot.Index)
	if errors.Is(err, raftio.ErrNoSavedLog) {
		return nil // it was about to be made
	}
	if err != nil {
		return err
	}
	next, end := state.FirstIndex, state.FirstIndex+state.EntryCount
	if state.EntryCount == 0 {
		next, end = snapshot.Index+1, snapshot.Index+1
	}
	for next < end {
		entries, _, err := db.IterateEntries(nil, 0, n.ShardID, n.ReplicaID, next, end, readBytes)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("entries %d to %d are not there", next, end-1)
		}
		next = entries[len(entries)-1].Index + 1
	}
	if end <= state.State.Commit {
		return fmt.Errorf("it ends at entry %d, and %d was committed", end-1, state.State.Commit)
	}
	return nil
}
