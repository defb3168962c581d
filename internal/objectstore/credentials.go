package objectstore

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// credentials are reloaded when their files change, so that a rotated key is used
// without a restart. If the new content is unusable, such as a half-written file,
// the current credentials stay in use and the reload is retried.
type credentials[T any] struct {
	files []string
	// read reads the files, and tries the result.
	read    func(context.Context) (T, error)
	log     *slog.Logger
	current atomic.Pointer[T]

	mu     sync.Mutex // held during a check; others continue with current
	looked time.Time
	seen   []stamp // of files, when current was read
	failed []stamp // of unusable files, logged once
}

// stamp identifies a state of a file; zero: it does not exist.
type stamp struct {
	modified time.Time
	size     int64
}

const (
	// lookEvery is the minimum interval between checks of the files.
	lookEvery = time.Second
	// lookTime bounds how long the request that found new credentials waits.
	lookTime = 5 * time.Second
)

// newCredentials starts with what was just read from files.
func newCredentials[T any](files []string, now T, read func(context.Context) (T, error), log *slog.Logger) *credentials[T] {
	f := &credentials[T]{files: files, read: read, log: log, looked: time.Now()}
	f.seen = f.stamps()
	f.current.Store(&now)
	return f
}

// get returns the current value.
func (f *credentials[T]) get(ctx context.Context) T {
	if f.mu.TryLock() {
		f.look(ctx)
		f.mu.Unlock()
	}
	return *f.current.Load()
}

// look reloads the files if they have changed. Holds mu.
func (f *credentials[T]) look(ctx context.Context) {
	if time.Since(f.looked) < lookEvery {
		return
	}
	f.looked = time.Now()
	stamps := f.stamps()
	if slices.Equal(stamps, f.seen) {
		return
	}
	for i := range stamps {
		if stamps[i] == (stamp{}) && f.seen[i] != (stamp{}) {
			return // it is being replaced
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	v, err := f.read(ctx)
	switch {
	case err == nil:
		f.current.Store(&v)
		f.seen, f.failed = stamps, nil
		f.log.Info("credentials of the object store have changed and are in use", "files", f.files)
	case ctx.Err() == nil && !slices.Equal(stamps, f.failed):
		f.failed = stamps
		f.log.Warn("credentials of the object store have changed and cannot be used; those before stay in use", "files", f.files, "err", err)
	}
}

func (f *credentials[T]) stamps() []stamp {
	all := make([]stamp, len(f.files))
	for i, name := range f.files {
		if info, err := os.Stat(name); err == nil {
			all[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}
