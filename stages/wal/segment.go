package wal

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// File names: segments are named by their start position, spares by number.
const (
	segmentPrefix = "segment-"
	sparePrefix   = "spare-"
	suffix        = ".wal"
)

func segmentName(start partition.Position) string {
	return fmt.Sprintf("%s%016x%s", segmentPrefix, uint64(start), suffix)
}

func spareName(n uint64) string { return fmt.Sprintf("%s%d%s", sparePrefix, n, suffix) }

// number parses the part of name between prefix and suffix.
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

// segment is one file of the log. Its position does not change while it is live.
// DESIGN.md describes its states and who holds it in which.
type segment struct {
	name    string // set by whoever makes it live or retires it; read under segments.mu
	file    blockfs.File
	start   partition.Position
	size    int64
	pending pending // what must be in objects before it may go

	// Holders. A segment with writers or unsynced bytes is not retired; one with
	// readers is not reused.
	writers  int          // groups placed in it that are not complete; under segments.mu
	unsynced bool         // the flusher must sync it; under segments.mu
	readers  atomic.Int32 // reads in progress

	spare  string // its name once retired; owned by the goroutine that retires
	moving bool   // a rename to it was attempted; likewise
}

// limit is where the next segment starts.
func (s *segment) limit() partition.Position { return s.start + partition.Position(s.size) }

// first is the position of its first group.
func (s *segment) first() partition.Position { return s.start + blockfs.BlockSize }

// offset is the file offset of pos.
func (s *segment) offset(pos partition.Position) int64 { return int64(pos - s.start) }

// spaceFrom is the space in the file from pos on.
func (s *segment) spaceFrom(pos partition.Position) int64 {
	return min(s.size, s.file.Size()) - s.offset(pos)
}
