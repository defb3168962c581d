package quorum

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/consensus/guard"
	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/raftfs"
	"github.com/sluicemq/sluice/consensus/tanlog"
)

var (
	// ErrDamaged means that a Raft log or snapshot on disk is unreadable.
	ErrDamaged = errors.New("the metadata log is damaged")
	// ErrLost means that a Raft log is readable but lacks acknowledged entries.
	ErrLost = errors.New("the metadata log has lost acknowledged changes")
)

// finding describes a shard's log before anything has touched it.
type finding struct {
	mark guard.Mark // how far it is readable
	err  error      // ErrDamaged or ErrLost; nil: complete
	// readable means that the log can be used, apart from what it lacks.
	readable bool
	// torn is the log file and the length of its intact part, if the rest must be removed
	// first.
	torn *tornTail
}

type tornTail struct {
	path string
	keep int64
}

// inspect reads the logs of all shards on disk or known to the guard, and changes nothing. An
// error means that their state could not be determined.
func inspect(c config.NodeHostConfig, dirs, wals []string, marks map[guard.Replica]guard.Mark, ids *identity) (map[int]finding, error) {
	shards, err := bootstrapped(c, dirs, wals, ids)
	if err != nil {
		return nil, err
	}
	for r := range marks {
		if shard := int(r.Shard - raftShard(0)); r.ID == ids.replica(shard) { // others were given up
			shards[shard] = true
		}
	}
	var mu sync.Mutex
	found := make(map[int]finding, len(shards))
	var g errgroup.Group
	g.SetLimit(workers)
	for shard := range shards {
		g.Go(func() error {
			f, err := inspectShard(c, dirs, wals, shard, ids.of(shard), marks[ids.of(shard)])
			mu.Lock()
			defer mu.Unlock()
			found[shard] = f
			return err
		})
	}
	return found, g.Wait()
}

// bootstrapped returns the shards that have a bootstrap record or a log on disk.
func bootstrapped(c config.NodeHostConfig, dirs, wals []string, ids *identity) (map[int]bool, error) {
	shards := make(map[int]bool)
	return shards, overlaid(c, dirs, wals, nil, func(db raftio.ILogDB) error {
		nodes, err := db.ListNodeInfo()
		for _, n := range nodes {
			if shard := int(n.ShardID - raftShard(0)); shard >= 0 && n.ReplicaID == ids.replica(shard) {
				shards[shard] = true
			}
		}
		if err != nil {
			return err
		}
		return haveLogs(c.Expert.FS, filepath.Join(dirs[0], "tandb"), shards, ids)
	})
}

func haveLogs(disk vfs.FS, dir string, shards map[int]bool, ids *identity) error {
	names, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		var shard, replica uint64
		if _, err := fmt.Sscanf(name, "node-%d-%d", &shard, &replica); err == nil && shard >= raftShard(0) && replica == ids.replica(int(shard-raftShard(0))) {
			shards[int(shard-raftShard(0))] = true
		}
	}
	return err
}

// of returns this controller's replica of a shard as the guard names it.
func (i *identity) of(shard int) guard.Replica {
	return guard.Replica{Shard: raftShard(shard), ID: i.replica(shard)}
}

// overlaid calls f with the log store on an overlay of the disk.
func overlaid(c config.NodeHostConfig, dirs, wals []string, change func(*raftfs.Overlay) error, f func(raftio.ILogDB) error) error {
	return unpanicked(func() (err error) {
		o := raftfs.NewOverlay(c.Expert.FS)
		if change != nil {
			if err := change(o); err != nil {
				return err
			}
		}
		c.Expert.FS = o
		db, err := tan.Factory.Create(c, nil, dirs, wals)
		if err != nil {
			return err
		}
		err = unpanicked(func() error { return f(db) })
		return errors.Join(err, unpanicked(db.Close))
	})
}

// inspectShard determines how far a shard's log is readable, as it is and, if that is not
// enough, without its torn end. Anything may follow the last acknowledged record: it was being
// written when the power failed.
func inspectShard(c config.NodeHostConfig, dirs, wals []string, shard int, r guard.Replica, want guard.Mark) (finding, error) {
	f, err := look(c, dirs, wals, shard, r, want, nil)
	if err != nil || f.err == nil || f.readable {
		return f, err
	}
	torn, err := tornEnd(c.Expert.FS, filepath.Join(dirs[0], "tandb", nodeName(r)))
	if err != nil || torn == nil {
		return f, nil // no torn end: it stays damaged
	}
	repaired, err := look(c, dirs, wals, shard, r, want, torn)
	if err != nil || !repaired.readable {
		return f, err
	}
	repaired.torn = torn
	return repaired, nil
}

// look reads a shard's log, up to torn if set.
func look(c config.NodeHostConfig, dirs, wals []string, shard int, r guard.Replica, want guard.Mark, torn *tornTail) (f finding, err error) {
	var change func(*raftfs.Overlay) error
	if torn != nil {
		change = func(o *raftfs.Overlay) error {
			b, err := readFile(c.Expert.FS, torn.path)
			if err != nil {
				return err
			}
			return o.Replace(torn.path, b[:min(int64(len(b)), torn.keep)])
		}
	}
	err = overlaid(c, dirs, wals, change, func(db raftio.ILogDB) (err error) {
		f.mark, err = readLog(db, raftio.NodeInfo{ShardID: r.Shard, ReplicaID: r.ID}, snapshotIn(c.Expert.FS, dirs[0]))
		return err
	})
	switch {
	case notTheDisk(err):
		return f, err
	case errors.Is(err, machine.ErrVersion):
		return f, fmt.Errorf("the log of shard %d: %w", shard, err)
	case err != nil:
		f.err = fmt.Errorf("%w: shard %d: %w", ErrDamaged, shard, err)
	case want.Ahead(f.mark):
		f.readable = true
		f.err = fmt.Errorf("%w: shard %d: its log ends at entry %d of term %d (snapshot %d), but entry %d of term %d (snapshot %d) was acknowledged",
			ErrLost, shard, f.mark.Index, f.mark.Term, f.mark.Snapshot, want.Index, want.Term, want.Snapshot)
	default:
		f.readable = true
	}
	return f, nil
}

// notTheDisk reports whether a read error says nothing about the data on disk.
func notTheDisk(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, fs.ErrPermission)
}

// tornEnd finds the newest log of a directory and the end of its last whole record; nil if all
// records are whole.
func tornEnd(disk vfs.FS, dir string) (*tornTail, error) {
	names, err := disk.List(dir)
	if err != nil {
		return nil, err
	}
	var newest string
	for _, name := range names {
		if filepath.Ext(name) == ".log" && name > newest {
			newest = name
		}
	}
	if newest == "" {
		return nil, nil
	}
	path := filepath.Join(dir, newest)
	b, err := readFile(disk, path)
	if err != nil {
		return nil, err
	}
	if keep := tanlog.Whole(b); keep < int64(len(b)) {
		return &tornTail{path, keep}, nil
	}
	return nil, nil
}

func readFile(disk vfs.FS, path string) ([]byte, error) {
	f, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}
