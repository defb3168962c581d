package certs

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// source is what is read from one or more files that change together. It keeps the
// last that could be used.
//
//	in use        the files are as they were when what is in use was read
//	doubtful      they are not, and were found unusable once: they may be half replaced
//	rejected      they were so at the next look, too: that is told, once
//
// A look at files that have not changed costs one stat each.
type source struct {
	use   string // in metrics and messages
	files []string
	// load reads the files and puts what is in them in use. It returns when the first
	// certificate in them ends.
	load func() (ends time.Time, err error)

	used     []os.FileInfo // of what is in use
	ends     time.Time
	doubtful failure
	rejected failure // nil error: none
	warned   time.Time

	taken, failed int64
}

// failure is files that could not be used.
type failure struct {
	files []os.FileInfo
	err   error
}

// is says whether two failures are one.
func (f failure) is(g failure) bool {
	return f.err != nil && g.err != nil && f.err.Error() == g.err.Error() && sameFiles(f.files, g.files)
}

// event is what a look at files has found.
type event int

const (
	nothing event = iota
	took          // what is in the files is in use now
	rejects       // it cannot be used, and that was not known before, or is asked for at once
)

// look reads the files if they have changed. Files that cannot be used are rejected
// at the second look, since they may be half replaced at the first, or at once.
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

// stat returns what there is of each file, nil for one that cannot be looked at.
func stat(files []string) []os.FileInfo {
	all := make([]os.FileInfo, len(files))
	for i, f := range files {
		if info, err := os.Stat(f); err == nil {
			all[i] = info
		}
	}
	return all
}

// sameFiles says whether no file was replaced or written to between two looks.
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

// left says how long a certificate lasts yet.
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
