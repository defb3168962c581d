package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// GroupInfo describes one group; its batches follow.
type GroupInfo struct {
	Kind     string             `json:"kind"` // "group"
	Segment  string             `json:"segment"`
	Position partition.Position `json:"position"`
	Sequence uint64             `json:"sequence"`
	Durable  uint64             `json:"known_durable"` // highest sequence
	Run      uint64             `json:"run"`
	Bytes    int                `json:"bytes"`
	Batches  int                `json:"batches"`         // 0: a seal
	Error    string             `json:"error,omitempty"` // of the body
}

// TruncationInfo describes one row of a truncation group: what the partition had
// before it, from Offset on, is void.
type TruncationInfo struct {
	Kind      string `json:"kind"` // "truncation"
	Topic     string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// BatchInfo describes one batch of a group.
type BatchInfo struct {
	Kind      string             `json:"kind"` // "batch"
	Position  partition.Position `json:"position"`
	Topic     string             `json:"topic_id"`
	Partition int32              `json:"partition"`
	record.Info
	Error string `json:"error,omitempty"`
}

// inspectMemory bounds the memory used at once: a group of maximum size.
const inspectMemory = 2 * maxGroup

// Inspect reads the log in fs as Recover would, but without changing anything. It
// emits a GroupInfo for each group and a BatchInfo for each of its batches, in
// log order. The report says what is wrong with the log; batches that are not
// what was written have an Error. The log may be in use: then its end moves, and
// segments may disappear while they are read. Errors are those of emit and of the
// disk, and ErrCorrupt when no start can be found.
func Inspect(ctx context.Context, fs blockfs.FS, emit func(any) error) (Report, error) {
	s := newSegments(fs, Config{}, nil, nil)
	if err := s.open(); err != nil {
		return Report{}, fmt.Errorf("open the WAL: %w", err)
	}
	live := s.snapshot()
	if len(live) == 0 {
		return Report{}, s.close()
	}
	var w *walker
	w = newWalker(live, blockfs.NewPool(inspectMemory), func(g found) error { return inspectGroup(&w.report, g, emit) })
	err := w.walk(ctx)
	if w.next.sequence > 0 {
		w.report.LastSequence = w.next.sequence - 1
	}
	if err != nil {
		err = fmt.Errorf("read the WAL: %w", err)
	}
	return w.report, errors.Join(err, s.close())
}

func inspectGroup(report *Report, g found, emit func(any) error) error {
	h := g.head
	info := GroupInfo{Kind: "group", Segment: g.segment.name, Position: h.position, Sequence: h.sequence, Durable: h.durable,
		Run: h.run, Bytes: h.length, Batches: h.count}
	if g.damage != nil {
		info.Error = g.damage.Error()
	}
	if err := emit(info); err != nil {
		return err
	}
	return h.rows(g.image, func(e tableRow) error {
		if h.kind == truncations {
			return emit(TruncationInfo{Kind: "truncation", Topic: e.partition.Topic.String(), Partition: e.partition.Index, Offset: e.base})
		}
		b := record.Batch(g.image[e.at : e.at+e.size : e.at+e.size])
		info := BatchInfo{Kind: "batch", Position: h.position + partition.Position(e.at),
			Topic: e.partition.Topic.String(), Partition: e.partition.Index}
		if err := verifyBatch(b, e.base, e.epoch); err != nil {
			info.Error = err.Error()
			info.BaseOffset, info.LeaderEpoch, info.Bytes = e.base, e.epoch, e.size
		} else {
			info.Info = b.Info()
			report.Batches++
			report.Bytes += int64(e.size)
		}
		return emit(info)
	})
}

// Identify returns the ID of the log in fs, or zero if there is none. It changes
// nothing.
func Identify(ctx context.Context, fs blockfs.FS) (uuid.UUID, error) {
	s := newSegments(fs, Config{}, nil, nil)
	if err := s.open(); err != nil {
		return uuid.Nil, fmt.Errorf("open the WAL: %w", err)
	}
	live := s.snapshot()
	if len(live) == 0 {
		return uuid.Nil, s.close()
	}
	w := newWalker(live, blockfs.NewPool(inspectMemory), nil)
	err := w.begin(ctx)
	w.window.close()
	return w.wal, errors.Join(err, s.close())
}
