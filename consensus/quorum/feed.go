package quorum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sluicemq/sluice/internal/meta"
)

// ErrAhead means that a follower has applied commands that the shard does not have: the shard has
// lost acknowledged changes, or belongs to another cluster.
var ErrAhead = errors.New("the follower is ahead of the metadata shard")

// Snapshot is the state of a shard after the command at Index.
type Snapshot struct {
	Index uint64
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
	after   uint64  // entries has all commands after this index
	entries []Entry // ascending
	bytes   int
	last    uint64        // index of the last command
	grown   chan struct{} // closed and replaced at each change
}

func newFeed() *feed { return &feed{grown: make(chan struct{})} }

// add adds an applied command.
func (f *feed) add(index uint64, cmd []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, Entry{index, bytes.Clone(cmd)}) // what readers hold is not modified
	f.bytes += len(cmd) + entryOverhead
	f.last = index
	for f.bytes > feedBytes && len(f.entries) > 1 {
		f.after = f.entries[0].Index
		f.bytes -= len(f.entries[0].Cmd) + entryOverhead
		f.entries = f.entries[1:]
	}
	f.wake()
}

// reset forgets all commands, after a snapshot that contains those up to index.
func (f *feed) reset(index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries, f.bytes, f.after, f.last = nil, 0, index, index
	f.wake()
}

func (f *feed) wake() {
	close(f.grown)
	f.grown = make(chan struct{})
}

// from returns the entries after index. ok is false if they are no longer known. If there are
// none, grown is closed once there may be.
func (f *feed) from(index uint64) (entries []Entry, ok bool, grown <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if index < f.after {
		return nil, false, nil
	}
	at := len(f.entries)
	for at > 0 && f.entries[at-1].Index > index {
		at--
	}
	return f.entries[at:len(f.entries):len(f.entries)], true, f.grown
}

// Follower follows a shard. It is not safe for concurrent use.
type Follower struct {
	quorum  *Quorum
	shard   int
	index   uint64 // passed on so far
	started bool
}

// Follow returns a follower of a shard that has applied the commands up to an index, 0 if none.
func (q *Quorum) Follow(shard int, after uint64) *Follower {
	return &Follower{quorum: q, shard: shard, index: after}
}

// Next returns what follows, once there is something. The first call returns at once, without
// entries if there are none. Errors are meta.ErrUnavailable, or those of ctx.
func (f *Follower) Next(ctx context.Context) (Changes, error) {
	if err := f.quorum.host.logs.isOffline(f.shard); err != nil {
		return Changes{}, fmt.Errorf("%w: shard %d is offline: %w", meta.ErrUnavailable, f.shard, err)
	}
	first := !f.started
	f.started = true
	if first && f.index == 0 {
		return f.snapshot()
	}
	for {
		entries, ok, grown := f.quorum.feeds[f.shard].from(f.index)
		switch {
		case !ok:
			return f.snapshot()
		case len(entries) > 0:
			f.index = entries[len(entries)-1].Index
			return Changes{Entries: entries}, nil
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
	if s.Index < f.index {
		return Changes{}, fmt.Errorf("%w: %w: shard %d", meta.ErrUnavailable, ErrAhead, f.shard)
	}
	f.index = s.Index
	return Changes{Snapshot: &s}, nil
}
