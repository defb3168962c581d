package quorum

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"sync"

	"github.com/sluicemq/sluice/internal/meta"
)

// ErrAhead means that a follower has applied commands that the shard does not have: the shard has
// lost acknowledged changes, or belongs to another cluster, or this controller is behind.
var ErrAhead = errors.New("the follower has commands that the metadata shard does not have; restart the broker if this does not pass")

// Position is a place in the history of a shard: the index of a command, and a sum of all commands up
// to that, which tells histories apart: a shard that was lost and began again has other commands at the
// same indexes.
type Position struct {
	Index uint64
	Sum   uint64
}

var sums = crc64.MakeTable(crc64.ECMA)

// After returns the position after the next command.
func (p Position) After(e Entry) Position {
	index := binary.LittleEndian.AppendUint64(make([]byte, 0, 8), e.Index)
	return Position{e.Index, crc64.Update(crc64.Update(p.Sum, sums, index), sums, e.Cmd)}
}

// AfterAll returns the position after the changes.
func (p Position) AfterAll(c Changes) Position {
	if c.Snapshot != nil {
		p = c.Snapshot.Position
	}
	for _, e := range c.Entries {
		p = p.After(e)
	}
	return p
}

// Snapshot is the state of a shard at a position.
type Snapshot struct {
	Position
	State []byte // as machine.RestoreRoot or machine.RestoreShard reads it
}

// Entry is a command that a shard has applied. Indexes ascend, with gaps: Raft has entries of its own.
type Entry struct {
	Index uint64
	Cmd   []byte // encoded; not to be modified
}

// Changes are what follows in a shard: a snapshot that replaces everything before, or entries.
type Changes struct {
	Snapshot *Snapshot
	Entries  []Entry
}

// feedBytes is how much of a shard's latest commands is kept for followers. One that is further
// behind gets a snapshot.
const feedBytes = 1 << 20

// entryOverhead is what an entry takes besides its command.
const entryOverhead = 64

// feed keeps the latest commands of a shard for those who follow it.
type feed struct {
	mu      sync.Mutex
	after   Position   // entries has all commands after this position
	entries []Entry    // ascending
	places  []Position // after each of entries
	bytes   int
	grown   chan struct{} // closed and replaced at each change
}

func newFeed() *feed { return &feed{grown: make(chan struct{})} }

// add adds an applied command, after which the shard is at a position.
func (f *feed) add(e Entry, at Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.Cmd = bytes.Clone(e.Cmd) // what readers hold is not modified
	f.entries, f.places = append(f.entries, e), append(f.places, at)
	f.bytes += len(e.Cmd) + entryOverhead
	for f.bytes > feedBytes && len(f.entries) > 1 {
		f.after = f.places[0]
		f.bytes -= len(f.entries[0].Cmd) + entryOverhead
		f.entries, f.places = f.entries[1:], f.places[1:]
	}
	f.wake()
}

// reset forgets all commands, after a snapshot that contains those up to a position.
func (f *feed) reset(at Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries, f.places, f.bytes, f.after = nil, nil, 0, at
	f.wake()
}

func (f *feed) wake() {
	close(f.grown)
	f.grown = make(chan struct{})
}

// from returns the entries after a position. ok is false if they are no longer known. If there are
// none, grown is closed once there may be. ErrAhead: the shard was never there.
func (f *feed) from(p Position) (entries []Entry, ok bool, grown <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Index < f.after.Index {
		return nil, false, nil, nil
	}
	at, was := len(f.entries), f.after
	for at > 0 && f.entries[at-1].Index > p.Index {
		at--
	}
	if at > 0 {
		was = f.places[at-1]
	}
	if was != p {
		return nil, false, nil, ErrAhead
	}
	return f.entries[at:len(f.entries):len(f.entries)], true, f.grown, nil
}

// Follower follows a shard. It is not safe for concurrent use.
type Follower struct {
	quorum  *Quorum
	shard   int
	at      Position // passed on so far
	started bool
}

// Follow returns a follower of a shard that has applied the commands up to a position, the zero one if
// none.
func (q *Quorum) Follow(shard int, after Position) *Follower {
	return &Follower{quorum: q, shard: shard, at: after}
}

// Next returns what follows, once there is something. The first call returns at once, without
// entries if there are none. Errors are meta.ErrUnavailable, or those of ctx.
func (f *Follower) Next(ctx context.Context) (Changes, error) {
	if err := f.quorum.host.logs.isOffline(f.shard); err != nil {
		return Changes{}, fmt.Errorf("%w: shard %d is offline: %w", meta.ErrUnavailable, f.shard, err)
	}
	first := !f.started
	f.started = true
	if first && f.at.Index == 0 {
		return f.snapshot()
	}
	for {
		entries, ok, grown, err := f.quorum.feeds[f.shard].from(f.at)
		switch {
		case err != nil:
			return Changes{}, fmt.Errorf("%w: %w: shard %d", meta.ErrUnavailable, err, f.shard)
		case !ok:
			return f.snapshot()
		case len(entries) > 0:
			changes := Changes{Entries: entries}
			f.at = f.at.AfterAll(changes)
			return changes, nil
		case first:
			return Changes{}, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Changes{}, context.Cause(ctx)
		case <-f.quorum.life.Done():
			return Changes{}, fmt.Errorf("%w: this node is closed", meta.ErrUnavailable)
		}
	}
}

// snapshot returns the present state, which may be behind what others have.
func (f *Follower) snapshot() (Changes, error) {
	if !f.quorum.enter() {
		return Changes{}, fmt.Errorf("%w: this node is closed", meta.ErrUnavailable)
	}
	defer f.quorum.calls.Done()
	v, err := f.quorum.host.StaleRead(raftShard(f.shard), snapshotQuery{})
	if err != nil {
		return Changes{}, fmt.Errorf("%w: shard %d: %w", meta.ErrUnavailable, f.shard, err)
	}
	s := v.(Snapshot)
	if s.Index < f.at.Index {
		return Changes{}, fmt.Errorf("%w: %w: shard %d", meta.ErrUnavailable, ErrAhead, f.shard)
	}
	f.at = s.Position
	return Changes{Snapshot: &s}, nil
}
