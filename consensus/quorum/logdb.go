package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"

	"github.com/sluicemq/sluice/consensus/guard"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/raftfs"
	"github.com/sluicemq/sluice/consensus/tanlog"
)

// guardedLogs is the log store with a guard that is updated before every acknowledgement. It
// does not contain offline shards, whose directories must not be opened.
type guardedLogs struct {
	raftio.ILogDB
	guard *guard.File
	latch *raftfs.Latch
	dir   string // of the logs

	mu      sync.Mutex
	offline map[int]error
}

// SaveRaftState returns once the updates are in the logs and the guard.
func (g *guardedLogs) SaveRaftState(updates []raftpb.Update, worker uint64) error {
	if err := g.ILogDB.SaveRaftState(updates, worker); err != nil {
		return g.latch.Fail("write the metadata log", err)
	}
	return g.note(updates)
}

// SaveSnapshots is SaveRaftState for snapshot records.
func (g *guardedLogs) SaveSnapshots(updates []raftpb.Update) error {
	if err := g.ILogDB.SaveSnapshots(updates); err != nil {
		return g.latch.Fail("write the metadata log", err)
	}
	return g.note(updates)
}

// note records in the guard how far logs have got. Updates that only change the commit index
// are not synced, and not recorded.
func (g *guardedLogs) note(updates []raftpb.Update) error {
	var changed map[guard.Replica]guard.Mark
	for _, u := range updates {
		r := guard.Replica{Shard: u.ShardID, ID: u.ReplicaID}
		before, again := changed[r]
		if !again {
			before = g.guard.Mark(r)
		}
		after := advance(before, u)
		if after == before {
			continue
		}
		if changed == nil {
			changed = make(map[guard.Replica]guard.Mark, len(updates))
		}
		changed[r] = after
	}
	if changed == nil {
		return nil
	}
	if err := g.guard.Save(changed); err != nil {
		return g.latch.Fail("write the guard of the metadata", err)
	}
	return nil
}

// advance returns the mark of a log after an update. Entries may replace others from a
// superseded leader, so the index may go back.
func advance(m guard.Mark, u raftpb.Update) guard.Mark {
	if n := len(u.EntriesToSave); n > 0 {
		m.Index = u.EntriesToSave[n-1].Index
	}
	if s := u.Snapshot; !raftpb.IsEmptySnapshot(s) {
		m.Snapshot = max(m.Snapshot, s.Index)
		m.Index = max(m.Index, s.Index)
	}
	if !raftpb.IsEmptyState(u.State) {
		m.Term, m.Vote = u.State.Term, u.State.Vote
	}
	return m
}

// isOffline returns why a shard is offline; nil if it is not.
func (g *guardedLogs) isOffline(shard int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.offline[shard]
}

// offlineShards returns the shards that are offline, and why.
func (g *guardedLogs) offlineShards() map[int]error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.offline)
}

// online ends a shard's being offline.
func (g *guardedLogs) online(shard int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.offline, shard)
}

// ListNodeInfo omits offline shards.
func (g *guardedLogs) ListNodeInfo() ([]raftio.NodeInfo, error) {
	all, err := g.ILogDB.ListNodeInfo()
	var nodes []raftio.NodeInfo
	for _, n := range all {
		if g.isOffline(int(n.ShardID-raftShard(0))) == nil {
			nodes = append(nodes, n)
		}
	}
	return nodes, err
}

// RemoveNodeData removes a log, after its mark: every log known to the guard must exist.
func (g *guardedLogs) RemoveNodeData(shard, replica uint64) error {
	if err := g.guard.Forget(guard.Replica{Shard: shard, ID: replica}); err != nil {
		return g.latch.Fail("write the guard of the metadata", err)
	}
	return g.ILogDB.RemoveNodeData(shard, replica)
}

// Close closes the store, then the guard.
func (g *guardedLogs) Close() error { return errors.Join(g.ILogDB.Close(), g.guard.Close()) }

// readBytes is how much of a log is read at a time.
const readBytes = 8 << 20

// readLog reads everything that a start will read of a log, and returns its mark.
func readLog(db raftio.ILogDB, n raftio.NodeInfo, checkSnapshot func(raftio.NodeInfo, raftpb.Snapshot) error) (m guard.Mark, err error) {
	if _, err := db.GetBootstrapInfo(n.ShardID, n.ReplicaID); err != nil {
		return m, fmt.Errorf("bootstrap record: %w", err)
	}
	snapshot, err := db.GetSnapshot(n.ShardID, n.ReplicaID)
	if err != nil && !errors.Is(err, raftio.ErrNoSavedLog) {
		return m, err
	}
	if !raftpb.IsEmptySnapshot(snapshot) {
		m.Snapshot, m.Index, m.Term = snapshot.Index, snapshot.Index, snapshot.Term
		if err := checkSnapshot(n, snapshot); err != nil {
			return m, err
		}
	}
	state, err := db.ReadRaftState(n.ShardID, n.ReplicaID, snapshot.Index)
	if errors.Is(err, raftio.ErrNoSavedLog) {
		return m, nil // it was just being created
	}
	if err != nil {
		return m, err
	}
	m.Term, m.Vote = state.State.Term, state.State.Vote
	if state.EntryCount > 0 {
		m.Index = state.FirstIndex + state.EntryCount - 1
	}
	if err := readEntries(db, n, snapshot.Index+1, m.Index+1); err != nil {
		return m, err
	}
	if m.Index < state.State.Commit {
		return m, fmt.Errorf("it ends at entry %d, but %d was committed", m.Index, state.State.Commit)
	}
	return m, nil
}

// readEntries reads the entries [next, end).
func readEntries(db raftio.ILogDB, n raftio.NodeInfo, next, end uint64) error {
	for next < end {
		entries, _, err := db.IterateEntries(nil, 0, n.ShardID, n.ReplicaID, next, end, readBytes)
		if err != nil {
			return err
		}
		if len(entries) == 0 || entries[0].Index != next {
			return fmt.Errorf("entries %d to %d are missing", next, end-1)
		}
		for _, e := range entries {
			if cmd := commandIn(e); len(cmd) > 0 {
				if err := machine.CheckVersion(cmd); err != nil {
					return err
				}
			}
		}
		next = entries[len(entries)-1].Index + 1
	}
	return nil
}

// commandIn returns the command in an entry, nil if there is none.
func commandIn(e raftpb.Entry) []byte {
	switch {
	case len(e.Cmd) == 0:
		return nil // by a new leader
	case e.Type == raftpb.ApplicationEntry:
		return e.Cmd
	case e.Type == raftpb.EncodedEntry && e.Cmd[0] == 0: // its header: first version, no compression
		return e.Cmd[1:]
	}
	return nil
}

// snapshotIn returns a function that reads a snapshot file below a directory.
func snapshotIn(disk vfs.FS, dir string) func(raftio.NodeInfo, raftpb.Snapshot) error {
	return func(n raftio.NodeInfo, s raftpb.Snapshot) (err error) {
		parent, err := snapshotsOf(disk, dir, n)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("snapshot-%016X", s.Index)
		f, err := disk.Open(filepath.Join(parent, name, name+".gbsnap"))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("snapshot %s is missing", filepath.Join(parent, name))
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		return tanlog.CheckSnapshot(f, st.Size(), s.Checksum)
	}
}

// snapshotsOf returns the directory of a replica's snapshots.
func snapshotsOf(disk vfs.FS, dir string, n raftio.NodeInfo) (string, error) {
	parts, err := disk.List(dir)
	if err != nil {
		return "", err
	}
	for _, part := range parts {
		path := filepath.Join(dir, part, fmt.Sprintf("snapshot-%d-%d", n.ShardID, n.ReplicaID))
		if !strings.HasPrefix(part, "snapshot-part-") {
			continue
		}
		if _, err := disk.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("its snapshot directory is missing in %s", dir)
}
