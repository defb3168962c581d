package raftfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
)

// Latch holds the first failure of a disk. Use NewLatch; the zero Latch is not usable.
type Latch struct {
	failed chan struct{}

	mu    sync.Mutex
	err   error
	block bool
}

// NewLatch returns a latch without a failure.
func NewLatch() *Latch { return &Latch{failed: make(chan struct{})} }

// Failed is closed at the first failure.
func (l *Latch) Failed() <-chan struct{} { return l.failed }

// Err returns the first failure, or nil.
func (l *Latch) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Block makes operations that fail from now on never return. Their callers are goroutines that
// would otherwise panic and end the process.
func (l *Latch) Block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.block = true
}

// Fail records a failure and returns it or, after Block, does not return.
func (l *Latch) Fail(what string, err error) error {
	l.mu.Lock()
	if l.err == nil {
		l.err = fmt.Errorf("%s: %w; %s", what, root(err), advice(err))
		close(l.failed)
	}
	block := l.block
	l.mu.Unlock()
	if block {
		select {} // until the process exits
	}
	return err
}

// check returns the recorded failure, if any; the caller must then not perform its operation.
func (l *Latch) check() error {
	l.mu.Lock()
	err, block := l.err, l.block
	l.mu.Unlock()
	if err != nil && block {
		select {}
	}
	return err
}

// done passes on the result of an operation, and records it if it is a disk failure.
func (l *Latch) done(op, path string, err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.Fail(op+" "+path, err)
}

// root strips wrappers that repeat each other.
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
		return "the metadata disk is full: free space and start again; nothing that was acknowledged is lost"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit (ulimit -n, LimitNOFILE) and start again; nothing that was acknowledged is lost"
	case errors.Is(err, syscall.EROFS):
		return "the metadata disk is read-only: mount it writable and start again; nothing that was acknowledged is lost"
	default:
		return "the metadata disk fails: check the kernel log, then start again on a working disk; what was acknowledged was on disk"
	}
}
