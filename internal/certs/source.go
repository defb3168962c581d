package certs

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// source is one or more files that change together. It keeps the last usable contents.
//
//	in use        the files are as they were when the contents in use were loaded
//	doubtful      they have changed and were found unusable once: they may be half replaced
//	rejected      they were still unusable at the next check: this is reported, once
//
// A check of unchanged files costs one stat each.
type source struct {
	use   string // in metrics and messages
	files []string
	// load reads the files and puts their contents in use. It returns when the first certificate in
	// them expires.
	load func() (ends time.Time, err error)

	used     []os.FileInfo // as of the contents in use
	ends     time.Time
	doubtful failure
	rejected failure // no rejected files if the error is nil
	warned   time.Time

	taken, failed int64
}

// failure is the state of files that could not be used, and why.
type failure struct {
	files []os.FileInfo
	err   error
}

// is reports whether two failures are the same.
func (f failure) is(g failure) bool {
	return f.err != nil && g.err != nil && f.err.Error() == g.err.Error() && sameFiles(f.files, g.files)
}

// event is the result of checking the files.
type event int

const (
	nothing event = iota
	took          // the contents are in use now
	rejects       // the contents cannot be used; reported once, and again if a check is requested
)

// look loads the files if they have changed. Unusable contents may be a half-finished replacement,
// so they are rejected only when seen a second time, or right away if atOnce.
func (s *source) look(atOnce bool) event {
	seen := stat(s.files)
	if sameFiles(seen, s.used) {
		s.doubtful, s.rejected = failure{}, failure{}
		return nothing
	}
	ends, err := s.load()
	if err == nil {
		s.used, s.ends, s.warned = seen, ends, time.Time{}
		s.doubtful, s.rejected = failure{}, failure{}
		s.taken++
		return took
	}
	now := failure{seen, err}
	known := s.doubtful.is(now)
	s.doubtful = now
	switch {
	case s.rejected.is(now):
		if atOnce {
			return rejects
		}
		return nothing
	case !known && !atOnce:
		return nothing
	}
	s.rejected = now
	s.failed++
	return rejects
}

func (s *source) names() string { return strings.Join(s.files, " and ") }

// stat returns the FileInfo of each file, nil if stat fails.
func stat(files []string) []os.FileInfo {
	all := make([]os.FileInfo, len(files))
	for i, f := range files {
		if info, err := os.Stat(f); err == nil {
			all[i] = info
		}
	}
	return all
}

// sameFiles reports whether no file was replaced or modified between two stats.
func sameFiles(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != b[i] {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

// left describes how much longer a certificate is valid.
func left(ends, now time.Time) string {
	switch d := ends.Sub(now); {
	case d <= 0:
		return "has ended"
	case d < 48*time.Hour:
		return fmt.Sprintf("ends in %d hours", int(d.Hours()))
	default:
		return fmt.Sprintf("ends in %d days", int(d.Hours()/24))
	}
}
