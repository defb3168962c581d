package blockfs

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/sluicemq/sluice/internal/setting"
)

// lockName is the file that marks a directory as in use. It is not listed.
const lockName = "LOCK"

// Options say how a directory is used.
type Options struct {
	// How files are written: "io_uring" submits writes asynchronously, "pwrite" uses a thread
	// per write, "buffered" goes through the page cache and syncs after each write. "auto"
	// picks the first that works here and logs which. If "io_uring" is set and does not work,
	// the broker does not start.
	Engine Engine `toml:"io_engine" default:"auto" oneof:"auto|io_uring|pwrite|buffered"` // empty is auto
	// Space that new segments leave free on the disk; when there is less, producers wait. At
	// most 1 TiB. The broker does not start if the disk cannot hold this and one segment. A
	// file:// object store leaves half of it free, for the metadata.
	MinFreeBytes int64 `toml:"min_free_bytes" default:"256Mi" range:"0.."`

	// ReadOnly is for inspectors: it takes no lock, so the owner may be running,
	// and every change fails with ErrReadOnly.
	ReadOnly bool
}

// Dir is a directory of the operating system as an FS. One process at a time can
// open it.
type Dir struct {
	path    string
	opts    Options
	lock    *os.File // nil: read-only
	logger  *slog.Logger
	direct  bool
	dsync   bool      // a single call can write durably
	engine  Engine    // of Writers
	bounces sync.Pool // of *[]byte, aligned, for unaligned reads
}

// OpenDir opens the directory at path, and unless read-only creates and locks it
// and finds out how its file system can be written. Errors wrap ErrLocked,
// ErrReadOnly, ErrNoSpace or those of package os.
func OpenDir(path string, o Options, logger *slog.Logger) (*Dir, error) {
	if o.Engine == "" {
		o.Engine = Auto
	}
	if err := setting.Check(o); err != nil {
		return nil, err
	}
	d := &Dir{path: path, opts: o, logger: logger, engine: Buffered}
	d.bounces.New = func() any {
		b := Aligned(bounceSize)
		return &b
	}
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, d.explain("open", path, err)
		}
		return d, nil
	}
	if err := makeDir(path); err != nil {
		return nil, d.explain("make", path, err)
	}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	if err := d.probe(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	why, err := d.choose()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	logger.Info("disk engine chosen", "dir", path, "engine", d.engine, "access", d.Access(), "why", why)
	return d, nil
}

// makeDir creates path and its missing parents, and makes their names durable.
func makeDir(path string) error {
	parents := parentsOfNew(path)
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

// parentsOfNew returns the directories that get a new entry when path is created.
func parentsOfNew(path string) (parents []string) {
	for path = filepath.Clean(path); filepath.Dir(path) != path; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		parents = append(parents, filepath.Dir(path))
	}
	return parents
}

func (d *Dir) takeLock() error {
	f, err := os.OpenFile(d.join(lockName), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return d.explain("lock", d.path, err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%s: %w; stop that process or use another data directory", d.path, ErrLocked)
		}
		return d.explain("lock", d.path, err)
	}
	d.lock = f
	return nil
}

// Close releases the directory. Files are unaffected and should be closed before.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Close() // the lock is released with the descriptor
}

// Create implements FS. It writes zeroes rather than only allocating: a write to
// uninitialised blocks costs a journal commit, which takes as long again as the
// write itself.
func (d *Dir) Create(name string, size int64) (File, error) {
	if err := d.checkChange("create", name); err != nil {
		return nil, err
	}
	if size%BlockSize != 0 {
		return nil, fmt.Errorf("create %s of %d bytes: %w", name, size, ErrMisaligned)
	}
	if err := d.checkSpace(name, size); err != nil {
		return nil, err
	}
	f, err := d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if err := f.prefill(size); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(d.join(name)))
	}
	return f, nil
}

func (d *Dir) checkSpace(name string, size int64) error {
	free, err := freeSpace(d.path)
	if err != nil {
		return d.explain("ask free space of", d.path, err)
	}
	if free-size < d.opts.MinFreeBytes {
		return fmt.Errorf("create %s: %w: %d MiB are free in %s, %d MiB are needed and %d MiB must stay free; free some space or move the directory",
			name, ErrNoSpace, free>>20, d.path, size>>20, d.opts.MinFreeBytes>>20)
	}
	return nil
}

// Open implements FS.
func (d *Dir) Open(name string) (File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	flag := os.O_RDWR
	if d.opts.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := d.open(name, flag)
	if err != nil {
		return nil, err
	}
	info, err := f.f.Stat()
	if err != nil {
		return nil, errors.Join(d.explain("open", name, err), f.Close())
	}
	f.size = info.Size()
	if !d.direct && !d.opts.ReadOnly {
		if err := f.forget(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

func (d *Dir) open(name string, flag int) (*file, error) {
	if d.direct {
		flag |= directFlag
	}
	f, err := os.OpenFile(d.join(name), flag, 0o640)
	if err != nil {
		return nil, d.explain("open", name, err)
	}
	return &file{dir: d, name: name, f: f, fd: int(f.Fd())}, nil
}

// List implements FS.
func (d *Dir) List() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, d.explain("list", d.path, err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != lockName && e.Name() != probeName {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove implements FS.
func (d *Dir) Remove(name string) error {
	if err := d.checkChange("remove", name); err != nil {
		return err
	}
	return d.explain("remove", name, os.Remove(d.join(name)))
}

// Rename implements FS.
func (d *Dir) Rename(from, to string) error {
	if err := d.checkChange("rename", from); err != nil {
		return err
	}
	if err := checkName(to); err != nil {
		return err
	}
	return d.explain("rename", from, os.Rename(d.join(from), d.join(to)))
}

// SyncDir implements FS.
func (d *Dir) SyncDir() error { return d.explain("sync", d.path, syncDir(d.path)) }

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

func (d *Dir) checkChange(what, name string) error {
	if d.opts.ReadOnly {
		return fmt.Errorf("%s %s: %w: it was opened for inspection", what, name, ErrReadOnly)
	}
	return checkName(name)
}

func checkName(name string) error {
	if name == "" || name == "." || name == ".." || name == lockName || strings.ContainsAny(name, "/\\\x00") {
		return fmt.Errorf("%q is not a valid file name", name)
	}
	return nil
}

// explain wraps a system error so that callers can tell what to do.
func (d *Dir) explain(what, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s %s: %w in %s; free some space: %w", what, name, ErrNoSpace, d.path, err)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s %s: %w; make %s writable for user %d: %w", what, name, ErrReadOnly, d.path, os.Getuid(), err)
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}
