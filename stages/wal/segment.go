package wal

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// Names of files: segments by the position they start at, spares by number.
const (
	segmentPrefix = "segment-"
	sparePrefix   = "spare-"
	suffix        = ".wal"
)

func segmentName(start partition.Position) string {
	return fmt.Sprintf("%s%016x%s", segmentPrefix, uint64(start), suffix)
}

func spareName(n uint64) string { return fmt.Sprintf("%s%d%s", sparePrefix, n, suffix) }

// number reads the part of name between prefix and suffix.
func number(name, prefix string, base int) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, suffix); !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	return n, err == nil
}

// segment is one file of the log. Its place does not change while it is live.
// DESIGN.md has the states it goes through and who holds it in which.
type segment struct {
	name  string // changed by who makes it live or retires it; read under segments.mu
	file  blockfs.File
	start partition.Position
	size  int64
	owed  owed // what has to be in objects before it may go

	// Holders. A segment with writers or unsynced bytes is not retired; one with
	// readers is not used again.
	writers  int          // groups that have their place in it and are not settled; under segments.mu
	unsynced bool         // the flusher has to sync it; under segments.mu
	readers  atomic.Int32 // reads under way

	spare  string // the name that it gets when it is retired; of the goroutine that retires
	moving bool   // a rename to it was tried; likewise
}

// limit is where the next segment starts.
func (s *segment) limit() partition.Position { return s.start + partition.Position(s.size) }

// first is where its first group is.
func (s *segment) first() partition.Position { return s.start + blockfs.BlockSize }

// offset is where pos is in the file.
func (s *segment) offset(pos partition.Position) int64 { return int64(pos - s.start) }

// room is what the file has from pos on.
func (s *segment) room(pos partition.Position) int64 {
	return min(s.size, s.file.Size()) - s.offset(pos)
}
