package raftfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
)

// Latch keeps the first failure of a disk. The zero Latch is not ready; see NewLatch.
type Latch struct {
	failed chan struct{}

	mu    sync.Mutex
	err   error
	block bool
}

// NewLatch returns one that nothing has failed for.
func NewLatch() *Latch { return &Latch{failed: make(chan struct{})} }

// Failed is closed at the first failure.
func (l *Latch) Failed() <-chan struct{} { return l.failed }

// Err returns the first failure, or nil.
func (l *Latch) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Block has operations that fail from now on never return. Their callers are
// goroutines that nobody could keep from ending the process with a panic.
func (l *Latch) Block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.block = true
}

// Fail keeps a failure and returns it, or, after Block, does not return.
func (l *Latch) Fail(what string, err error) error {
	l.mu.Lock()
	if l.err == nil {
		l.err = fmt.Errorf("%s: %w; %s", what, root(err), advice(err))
		close(l.failed)
	}
	block := l.block
	l.mu.Unlock()
	if block {
		select {} // until the process ends
	}
	return err
}

// check returns what has failed before, for an operation that must not be done
// any more.
func (l *Latch) check() error {
	l.mu.Lock()
	err, block := l.err, l.block
	l.mu.Unlock()
	if err != nil && block {
		select {}
	}
	return err
}

// done passes on the result of an operation, and keeps it if it is a failure of
// the disk.
func (l *Latch) done(op, path string, err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.Fail(op+" "+path, err)
}

// root leaves out what wrappers say twice.
func root(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no
	}
	return err
}

// advice says what to do about a failure.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk of the metadata is full: make room and start again; nothing that was acknowledged is lost"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit (ulimit -n, LimitNOFILE) and start again; nothing that was acknowledged is lost"
	case errors.Is(err, syscall.EROFS):
		return "the disk of the metadata is read-only: mount it writable and start again; nothing that was acknowledged is lost"
	default:
		return "the disk of the metadata fails: look at the kernel's log, then start again on a disk that works; what was acknowledged was on disk"
	}
}
