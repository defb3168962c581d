package partition

import (
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// State is the shared view of one partition.
type State struct {
	ID topic.Partition

	epoch    atomic.Int32
	follows  atomic.Bool // it is not led here
	hw       atomic.Int64
	logStart atomic.Int64
	tierEnd  atomic.Int64
	logEnd   atomic.Int64
	refused  atomic.Pointer[error]
	lost     atomic.Pointer[error]
	deleted  atomic.Bool
	traffic  traffic

	Lane Lane // the end of the log, on the leader
	Tail Tail // records in the WAL, [Tail.Start, HighWatermark)

	settings atomic.Pointer[Settings]

	mu     sync.Mutex
	epochs []meta.EpochStart // ascending, from the epoch that the log start is in

	watches watches
}

// Settings are the topic configs that affect the write path. A Settings is
// immutable; a change installs a new one.
type Settings struct {
	MaxMessageBytes int32 // max.message.bytes: the largest record batch
	MaxRecordBytes  int32 // max.decompressed.message.bytes: the largest record in a compressed batch
	LogAppendTime   bool  // message.timestamp.type=LogAppendTime
	Compacted       bool  // cleanup.policy has compact: every record needs a key
	// How far a record's timestamp may be behind or ahead of the broker's clock, in
	// ms (message.timestamp.before.max.ms, .after.max.ms).
	TimestampBeforeMs, TimestampAfterMs int64
}

// DefaultSettings returns Kafka's defaults.
func DefaultSettings() Settings {
	return Settings{MaxMessageBytes: 1048588, MaxRecordBytes: 2147483639, TimestampBeforeMs: math.MaxInt64, TimestampAfterMs: 3600000}
}

// NewState returns the state of a partition whose WAL is empty, and that this
// broker leads.
func NewState(id topic.Partition, epoch int32, logStart, tierEnd int64) *State {
	s := &State{ID: id}
	s.epoch.Store(epoch)
	s.logStart.Store(logStart)
	s.tierEnd.Store(tierEnd)
	s.hw.Store(tierEnd)
	s.traffic.fromOffset.Store(tierEnd)
	d := DefaultSettings()
	s.settings.Store(&d)
	return s
}

// Settings returns the current topic configs.
func (s *State) Settings() *Settings { return s.settings.Load() }

// Configure installs new topic configs.
func (s *State) Configure(c Settings) { s.settings.Store(&c) }

// Epoch returns the partition's leader epoch.
func (s *State) Epoch() int32 { return s.epoch.Load() }

// SetEpoch installs a new leader epoch, and wakes all watchers if it has changed.
func (s *State) SetEpoch(e int32) {
	if s.epoch.Swap(e) != e {
		s.watches.change()
	}
}

// Leads reports whether this broker leads the partition.
func (s *State) Leads() bool { return !s.follows.Load() }

// SetLeads says whether this broker leads, and wakes all watchers if that has
// changed.
func (s *State) SetLeads(leads bool) {
	if s.follows.Swap(!leads) == leads {
		s.watches.change()
	}
}

// HighWatermark returns the first offset that is not yet committed.
func (s *State) HighWatermark() int64 { return s.hw.Load() }

// LastStable returns the last stable offset (KIP-98). It equals the high
// watermark while no transaction is open.
func (s *State) LastStable() int64 { return s.hw.Load() }

// LogEnd returns the offset after the last record that this broker has, committed or
// not. A new leader's high watermark may be below that of the one before it, and
// readers at offsets in between have to wait.
func (s *State) LogEnd() int64 { return max(s.logEnd.Load(), s.hw.Load()) }

// SetLogEnd sets the log end. It need not be set where all that is on disk is
// committed.
func (s *State) SetLogEnd(end int64) { s.logEnd.Store(end) }

// LogStart returns the first offset that may be read.
func (s *State) LogStart() int64 { return s.logStart.Load() }

// TierEnd returns the offset below which every record is in objects.
func (s *State) TierEnd() int64 { return s.tierEnd.Load() }

// Deleted reports whether the partition's topic was deleted, or this broker is no
// longer a replica of it.
func (s *State) Deleted() bool { return s.deleted.Load() }

// Publish makes records below hw visible and wakes the watchers that waited for
// them. A value at or below the current one changes nothing. Call it from one
// goroutine at a time.
func (s *State) Publish(hw int64) {
	if grow(&s.hw, hw) {
		bytes, end := s.Tail.appendedTo()
		s.traffic.appended.Store(bytes)
		s.watches.grow(bytes, end == hw)
	}
}

// Refuse makes every append to the partition fail with err, until nil is given.
func (s *State) Refuse(err error) { set(&s.refused, err) }

// Lose says that what followed the end of the partition is missing or damaged:
// every append, and every read at or beyond the end, fails with err until nil is
// given.
func (s *State) Lose(err error) {
	set(&s.lost, err)
	s.watches.change()
}

// Refused returns why appends fail, nil if they do not.
func (s *State) Refused() error {
	if err := get(&s.refused); err != nil {
		return err
	}
	return s.Lost()
}

// Lost returns why reads at the end fail, nil if they do not.
func (s *State) Lost() error { return get(&s.lost) }

func set(p *atomic.Pointer[error], err error) {
	if err == nil {
		p.Store(nil)
		return
	}
	p.Store(&err)
}

func get(p *atomic.Pointer[error]) error {
	if e := p.Load(); e != nil {
		return *e
	}
	return nil
}

// SetLogStart moves the log start forward, and drops the epochs that ended below
// it.
func (s *State) SetLogStart(o int64) {
	if !grow(&s.logStart, o) {
		return
	}
	s.mu.Lock()
	s.trimEpochs()
	s.mu.Unlock()
	s.watches.change() // some may wait below it
}

func (s *State) trimEpochs() {
	if left := meta.EpochsFrom(s.epochs, s.LogStart()); len(left) < len(s.epochs) {
		s.epochs = slices.Clone(left)
	}
}

// SetTierEnd moves the tier end forward.
func (s *State) SetTierEnd(o int64) { grow(&s.tierEnd, o) }

// Delete marks the state deleted, drops its tail index, and wakes all watchers so
// that they notice.
func (s *State) Delete() {
	s.deleted.Store(true)
	s.Tail.Close()
	s.watches.change()
}

func grow(v *atomic.Int64, to int64) bool {
	for {
		old := v.Load()
		if to <= old {
			return false
		}
		if v.CompareAndSwap(old, to) {
			return true
		}
	}
}

// NoteEpoch records that epoch starts at offset start. Stale or repeated epochs
// change nothing.
func (s *State) NoteEpoch(epoch int32, start int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.epochs); n > 0 && s.epochs[n-1].Epoch >= epoch {
		return
	}
	s.epochs = append(s.epochs, meta.EpochStart{Epoch: epoch, Start: start})
	s.trimEpochs()
}

// TruncateEpochs forgets the epochs that began at offset to or after it.
func (s *State) TruncateEpochs(to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.epochs)
	for n > 0 && s.epochs[n-1].Start >= to {
		n--
	}
	s.epochs = slices.Clone(s.epochs[:n])
}

// Epochs returns a copy of the epoch starts, ascending.
func (s *State) Epochs() []meta.EpochStart {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]meta.EpochStart(nil), s.epochs...)
}

// EpochEnd answers OffsetForLeaderEpoch (KIP-101, KIP-320): the largest known
// epoch at or below epoch, and the offset where it ends. For an epoch older than
// all known ones it returns that epoch itself and the start of the first known
// one: its records are gone, and a reader that has them can continue there. It
// returns (-1, -1) for an epoch that is not known yet, and for -1, which means
// none.
func (s *State) EpochEnd(epoch int32) (int32, int64) {
	current, hw := s.Epoch(), s.HighWatermark()
	if epoch == -1 || epoch > current {
		return -1, -1
	}
	if epoch == current {
		return current, hw
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := sort.Search(len(s.epochs), func(i int) bool { return s.epochs[i].Epoch > epoch })
	end := hw
	if next < len(s.epochs) {
		end = max(s.epochs[next].Start, s.LogStart())
	}
	if next > 0 {
		epoch = s.epochs[next-1].Epoch
	}
	return epoch, end
}
