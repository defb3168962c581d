package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"

	"github.com/sluicemq/sluice/consensus/guard"
	"github.com/sluicemq/sluice/consensus/raftfs"
)

// ErrNoGuard means that there are Raft logs, but no guard that says how far they must go.
var ErrNoGuard = errors.New("the guard of the metadata is missing or damaged")

// openLogs opens the log store. It compares all logs with the guard before the store touches
// any, and opens all of them before anything runs: dragonboat does both on goroutines of its
// own, where a damaged log can only end the process.
type openLogs struct {
	cfg   Config
	ids   *identity
	log   *slog.Logger
	latch *raftfs.Latch

	witness *witness
	out     *guardedLogs // set by Create
	dir     string       // of the logs
}

// Name returns the name of the log store.
func (o *openLogs) Name() string { return tan.Factory.Name() }

// Create opens the logs.
func (o *openLogs) Create(c config.NodeHostConfig, busy config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	reading := c
	reading.Expert.FS = o.cfg.disk() // one unreadable sector is no reason to give up the rest
	o.dir = dirs[0]
	g, found, err := o.compare(reading, dirs, wals)
	if err != nil {
		return nil, err
	}
	offline, err := o.decide(dirs, g, found)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if o.cfg.AcceptLost { // after the guard has been updated
		if err := o.witness.forget(); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	db, err := o.open(c, busy, dirs, wals, found)
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	o.out = &guardedLogs{ILogDB: db, guard: g, latch: o.latch, dir: o.dir, offline: offline}
	return o.out, nil
}

// compare opens the guard, or creates one if there are no logs, and inspects the logs.
func (o *openLogs) compare(c config.NodeHostConfig, dirs, wals []string) (*guard.File, map[int]finding, error) {
	path := o.cfg.guardPath()
	g, err := guard.Open(path)
	missing, damaged := errors.Is(err, fs.ErrNotExist), errors.Is(err, guard.ErrDamaged)
	if err != nil && !missing && !damaged {
		return nil, nil, err
	}
	var marks map[guard.Replica]guard.Mark
	if g != nil {
		marks = g.Marks()
	}
	seen, err2 := o.witness.marks()
	if err2 != nil {
		return nil, nil, errors.Join(err2, closeGuard(g))
	}
	for r, m := range seen {
		if marks == nil {
			marks = make(map[guard.Replica]guard.Mark)
		}
		marks[r] = m.With(marks[r])
	}
	found, inspectErr := inspect(c, dirs, wals, marks, o.ids)
	switch {
	case inspectErr != nil:
	case g != nil:
		return g, found, nil
	case missing && len(found) == 0:
	case !o.cfg.AcceptLost:
		inspectErr = fmt.Errorf("%w: %w: so nothing says whether the logs in %s are complete; put the file back, or start once with --accept-lost-metadata to accept them as they are", ErrNoGuard, err, o.cfg.Directory)
	case damaged:
		inspectErr = os.Rename(path, path+".damaged")
	}
	if inspectErr != nil {
		return nil, nil, errors.Join(inspectErr, closeGuard(g))
	}
	g, err = guard.Create(path)
	if err != nil {
		return nil, nil, o.latch.Fail("create the guard of the metadata", err)
	}
	if len(found) > 0 {
		o.log.Error("the metadata logs were accepted as they are, as requested; what they lack is lost and unknown", "directory", o.cfg.Directory)
	}
	return g, found, nil
}

func closeGuard(g *guard.File) error {
	if g == nil {
		return nil
	}
	return g.Close()
}

// decide returns the shards that must stay offline. Without shard 0 nothing can be served. An
// accepted loss is repaired.
func (o *openLogs) decide(dirs []string, g *guard.File, found map[int]finding) (map[int]error, error) {
	offline := make(map[int]error)
	for _, shard := range slices.Sorted(maps.Keys(found)) {
		f := found[shard]
		if f.err == nil && f.torn != nil {
			o.log.Warn("the end of a metadata log was being written during a crash; truncating it, since none of it was acknowledged",
				"shard", shard, "file", f.torn.path, "bytes", f.torn.keep)
			if err := cutOff(f.torn); err != nil {
				return nil, err
			}
		}
		switch {
		case f.err == nil:
		case o.cfg.AcceptLost:
			if err := o.accept(dirs, g, shard, f); err != nil {
				return nil, fmt.Errorf("shard %d: accept the loss: %w", shard, err)
			}
		case shard == 0 && !o.cfg.clustered():
			return nil, fmt.Errorf("%w; restore the latest %s and %s, or start once with --accept-lost-metadata to continue without what is lost", f.err, o.cfg.Directory, o.cfg.guardPath())
		default:
			offline[shard] = f.err
			if o.cfg.clustered() {
				o.log.Error("the log of a metadata shard is unusable; it is repaired from the other controllers", "shard", shard, "err", f.err)
				continue
			}
			o.log.Error("a metadata shard is offline, with its partitions and groups; the rest is served. Restore its log, or start once with --accept-lost-metadata to continue without what is lost",
				"shard", shard, "err", f.err, "directory", filepath.Join(dirs[0], "tandb", nodeName(o.ids.of(shard))))
		}
	}
	if o.cfg.AcceptLost && !slices.ContainsFunc(slices.Collect(maps.Values(found)), func(f finding) bool { return f.err != nil }) {
		o.log.Warn("--accept-lost-metadata was given, but no metadata log lacks anything; start without it, or the next loss is accepted unseen")
	}
	return offline, nil
}

func nodeName(r guard.Replica) string { return fmt.Sprintf("node-%d-%d", r.Shard, r.ID) }

// accept makes a shard usable with what is left of it: its log as far as it is readable or, if
// it is unusable, an empty one, with the old log moved aside.
func (o *openLogs) accept(dirs []string, g *guard.File, shard int, f finding) error {
	if shard == 0 {
		if err := keepOrphans(o.cfg.Directory); err != nil {
			return err
		}
	}
	if f.readable {
		if f.torn != nil {
			if err := cutOff(f.torn); err != nil {
				return err
			}
		}
		o.log.Error("a metadata shard continues without the changes that its log has lost, as requested", "shard", shard, "err", f.err)
		return g.Save(map[guard.Replica]guard.Mark{o.ids.of(shard): f.mark})
	}
	aside, err := putAside(o.cfg, dirs[0], shard, o.ids.of(shard))
	if err != nil {
		return err
	}
	o.log.Error("a metadata shard starts empty, as requested: its partitions have no records and no leader until their topics are deleted and recreated, and its groups have no offsets",
		"shard", shard, "err", f.err, "old", aside)
	return g.Forget(o.ids.of(shard))
}

// open opens the store and all existing logs.
func (o *openLogs) open(c config.NodeHostConfig, busy config.LogDBCallback, dirs, wals []string, found map[int]finding) (raftio.ILogDB, error) {
	for shard, f := range found {
		if f.err == nil {
			if err := syncLogs(filepath.Join(dirs[0], "tandb", nodeName(o.ids.of(shard)))); err != nil {
				return nil, o.latch.Fail("sync the metadata log", err)
			}
		}
	}
	db, err := tan.Factory.Create(c, busy, dirs, wals)
	if err != nil {
		return nil, err
	}
	err = unpanicked(func() error {
		for shard, f := range found {
			if f.err != nil {
				continue // offline, or to be recreated by StartReplica
			}
			if _, err := db.ReadRaftState(raftShard(shard), o.ids.replica(shard), f.mark.Snapshot); err != nil && !errors.Is(err, raftio.ErrNoSavedLog) {
				return fmt.Errorf("metadata shard %d: %w", shard, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, unpanicked(db.Close))
	}
	return db, nil
}

// syncLogs syncs what a killed process had written and not synced. It was read, so it must
// stay.
func syncLogs(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		if err := synced(path, func(*os.File) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func cutOff(c *tornTail) error {
	return synced(c.path, func(f *os.File) error { return f.Truncate(c.keep) })
}

// synced opens a file, calls change, and syncs it.
func synced(path string, change func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(change(f), f.Sync(), f.Close())
}

// putAside moves all files of a shard to a directory that dragonboat ignores, and returns its
// name.
func putAside(cfg Config, dir string, shard int, r guard.Replica) (string, error) {
	aside := filepath.Join(cfg.Directory, asideDirectory, fmt.Sprintf("%s-shard-%d", cfg.Clock.Now().UTC().Format("20060102T150405"), shard))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", err
	}
	replica := fmt.Sprintf("%d-%d", r.Shard, r.ID)
	paths := []string{filepath.Join(dir, "tandb", nodeName(r)), filepath.Join(dir, "tandb", "bootstrap", "BOOTSTRAP-"+replica)}
	snapshots, err := filepath.Glob(filepath.Join(dir, "snapshot-part-*", "snapshot-"+replica))
	if err != nil {
		return "", err
	}
	for _, path := range append(paths, snapshots...) {
		if err := os.Rename(path, filepath.Join(aside, filepath.Base(path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := syncDirectory(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside, syncDirectory(aside)
}

// Our files in dragonboat's directory. No host name starts with a dot.
const (
	asideDirectory   = ".lost"
	reserveDirectory = ".reserve"
	orphansFile      = ".keep-orphans"
)

// keepOrphans records that shard 0 may have lost topics, so that partitions without a topic
// must never be deleted again.
func keepOrphans(directory string) error {
	f, err := os.OpenFile(filepath.Join(directory, orphansFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncDirectory(directory))
}

func keepsOrphans(directory string) bool {
	_, err := os.Stat(filepath.Join(directory, orphansFile))
	return err == nil
}
