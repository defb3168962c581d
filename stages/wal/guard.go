package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
)

// The guard records how far the log has got, outside the log's directory: a log
// that has lost its newest segment, its oldest, or the end of one looks as if it
// had never had them. It is one file of two blocks, written alternately, so that
// a torn write leaves the other:
//
//	 0  8  magic "SLUICEWG"
//	 8  2  version, 3
//	10  2  zero
//	12  4  CRC32C of the block without these four bytes
//	16 16  uuid of the log
//	32  8  generation; of two valid blocks the higher one counts
//	40  8  start of the oldest segment that may be missing nothing: it, or an older one, is there
//	48  8  start of the newest segment that was begun
//	56  8  sequence up to which all groups are durable
//	64 16  id of the process that was the last to take the log over
//	80 16  id of one that is about to, or zero
//	96 ..  holes that an operator has accepted, 128 of 16 bytes: sequence of the first group that is
//	       missing, and of the first behind them; zeros for none
//	       zeros to 4096
//
// Numbers are little endian. The guard is written so that it never claims too
// much: before the oldest segment is reclaimed; after a new segment exists and
// before a group is written to it; with each seal, thus on shutdown and 100 ms
// after the last group; and every guardInterval while groups are written. So a log
// can lose, unnoticed, only what was written in the last guardInterval before its
// process died, and only if those very blocks were damaged as a torn write would
// damage them: a file that is missing or short is noticed.

const (
	guardName    = "guard"
	guardVersion = 3
	maxAccepted  = 128
)

var guardMagic = [8]byte{'S', 'L', 'U', 'I', 'C', 'E', 'W', 'G'}

// extent is the content of the guard.
type extent struct {
	wal            uuid.UUID
	oldest, newest partition.Position
	durable        uint64 // sequence
	process, next  uuid.UUID
	accepted       [maxAccepted]hole
}

// accept records the holes of a log that an operator has accepted. Those that do
// not fit must be accepted again at each start.
func (e *extent) accept(holes []unknownLoss) {
	n := 0
	for _, b := range holes {
		if b.to > 0 && n < maxAccepted {
			e.accepted[n] = b.hole
			n++
		}
	}
}

// guard is the file. Its methods are safe for concurrent use.
type guard struct {
	lock       chan struct{} // capacity 1; held during an update, including its I/O
	file       blockfs.File
	block      []byte
	generation uint64
	now        extent
	known      bool // it had content when it was opened
}

// openGuard opens the guard in fs, or creates it. An unreadable one is an
// ErrLost, unless that is accepted.
func openGuard(fs blockfs.FS, accept bool) (*guard, error) {
	g := &guard{lock: make(chan struct{}, 1), block: blockfs.Aligned(blockfs.BlockSize)}
	var err error
	if g.file, err = fs.Open(guardName); errors.Is(err, blockfs.ErrNotExist) {
		if g.file, err = fs.Create(guardName, 2*blockfs.BlockSize); err == nil {
			err = fs.SyncDir()
		}
		if err != nil {
			return nil, fmt.Errorf("create the WAL's guard: %w", err)
		}
		return g, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the WAL's guard: %w", err)
	}
	if err := g.load(); err != nil && !(accept && errors.Is(err, ErrLost)) {
		return nil, errors.Join(err, g.file.Close())
	}
	return g, nil
}

// load takes the newer of the readable blocks. A new guard has none.
func (g *guard) load() error {
	var damage error
	blank := 0
	for i := range int64(2) {
		e, generation, err := g.read(i)
		switch {
		case errors.Is(err, errNotWritten):
			blank++
		case err != nil && !errors.Is(err, ErrCorrupt):
			return err
		case err != nil:
			damage = err
		case generation >= g.generation:
			g.now, g.generation, g.known = e, generation, true
		}
	}
	if !g.known && blank < 2 {
		return fmt.Errorf("%w: the WAL's guard is unreadable: %w", ErrLost, damage)
	}
	return nil
}

func (g *guard) read(i int64) (e extent, generation uint64, err error) {
	switch n, err := g.file.ReadAt(g.block, i*blockfs.BlockSize); {
	case n == len(g.block):
	case err == nil || errors.Is(err, io.EOF):
		return e, 0, fmt.Errorf("%w: the guard has only %d bytes", ErrCorrupt, g.file.Size())
	default:
		return e, 0, fmt.Errorf("read the WAL's guard: %w", err)
	}
	b := g.block
	if [8]byte(b[:8]) == [8]byte{} {
		return e, 0, errNotWritten
	}
	if [8]byte(b[:8]) != guardMagic || le.Uint32(b[12:]) != headChecksum(b) {
		return e, 0, fmt.Errorf("%w: checksum of the guard", ErrCorrupt)
	}
	if v := le.Uint16(b[8:]); v != guardVersion {
		return e, 0, fmt.Errorf("%w: guard has version %d, this broker supports version %d", errVersion, v, guardVersion)
	}
	copy(e.wal[:], b[16:])
	e.oldest, e.newest = partition.Position(le.Uint64(b[40:])), partition.Position(le.Uint64(b[48:]))
	e.durable = le.Uint64(b[56:])
	copy(e.process[:], b[64:])
	copy(e.next[:], b[80:])
	for i := range e.accepted {
		e.accepted[i] = hole{le.Uint64(b[96+16*i:]), le.Uint64(b[104+16*i:])}
	}
	return e, le.Uint64(b[32:]), nil
}

// update applies change, and if anything has changed writes the guard durably.
func (g *guard) update(change func(*extent)) error {
	if g == nil {
		return nil
	}
	g.lock <- struct{}{}
	defer func() { <-g.lock }()
	next := g.now
	if change(&next); next == g.now {
		return nil
	}
	b := g.block
	clear(b)
	copy(b, guardMagic[:])
	le.PutUint16(b[8:], guardVersion)
	copy(b[16:], next.wal[:])
	le.PutUint64(b[32:], g.generation+1)
	le.PutUint64(b[40:], uint64(next.oldest))
	le.PutUint64(b[48:], uint64(next.newest))
	le.PutUint64(b[56:], next.durable)
	copy(b[64:], next.process[:])
	copy(b[80:], next.next[:])
	for i, h := range next.accepted {
		le.PutUint64(b[96+16*i:], h.from)
		le.PutUint64(b[104+16*i:], h.to)
	}
	le.PutUint32(b[12:], crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:]))
	if err := g.file.WriteAt(b, int64((g.generation+1)%2)*blockfs.BlockSize, blockfs.Durable); err != nil {
		return fmt.Errorf("write the WAL's guard: %w", err)
	}
	g.now, g.generation = next, g.generation+1
	return nil
}

func (g *guard) close() error {
	if g == nil {
		return nil
	}
	return g.file.Close()
}

// TakeOver records, in the guard and through record in the metadata, that process
// owns the log from now on. At a start where the two disagree, one of them is an
// older copy. The guard keeps the new process next to the old one until record
// has returned, so a crash in between is not a disagreement. Call it after
// Recover and before Run.
func (l *Log) TakeOver(process uuid.UUID, record func() error) error {
	if err := l.guard.update(func(e *extent) { e.next = process }); err != nil {
		return err
	}
	if err := record(); err != nil {
		return err
	}
	return l.guard.update(func(e *extent) { e.process, e.next = process, uuid.Nil })
}

// disagrees reports whether the process in the metadata is one that the guard does
// not know.
func (g *guard) disagrees(onRecord uuid.UUID) bool {
	if g == nil || !g.known || onRecord == g.now.process {
		return false
	}
	return g.now.next == uuid.Nil || onRecord != g.now.next
}

// unaccepted returns one reason for each hole that nobody has accepted.
func (g *guard) unaccepted(holes []unknownLoss) (why []string) {
	for _, b := range holes {
		if g == nil || b.to == 0 || !slices.Contains(g.now.accepted[:], b.hole) {
			why = append(why, b.what)
		}
	}
	return why
}

// missing returns what the log lacks although the guard knew it: nothing, or one
// reason per item. live are the segments found, last is the sequence number of
// the last group.
func (g *guard) missing(wal uuid.UUID, live []*segment, last uint64) (why []string) {
	if g == nil || !g.known {
		return nil
	}
	e := g.now
	switch {
	case len(live) == 0:
		return []string{"it has no segments, but had some"}
	case wal != e.wal:
		return []string{fmt.Sprintf("it is log %s, but the guard is of log %s", wal, e.wal)}
	}
	if first := live[0].start; first > e.oldest {
		why = append(why, fmt.Sprintf("it begins with %s, but %s is missing", live[0].name, segmentName(e.oldest)))
	}
	if newest := live[len(live)-1]; newest.start < e.newest {
		why = append(why, fmt.Sprintf("it ends with %s, but %s is missing", newest.name, segmentName(e.newest)))
	}
	if last < e.durable {
		why = append(why, fmt.Sprintf("it ends with group %d, but group %d was on disk", last, e.durable))
	}
	return why
}
