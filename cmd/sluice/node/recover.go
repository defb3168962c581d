package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// ErrHole means that records of the partition are missing from the WAL, or damaged in it.
var ErrHole = fault.Lost(kerr.KafkaStorageError, "records of the partition are missing from the WAL or damaged there; the log of the start has details")

// ErrNotReplayed means that the start did not replay the partition's records in the WAL, because
// the metadata did not assign the partition to this broker, or had lost it.
var ErrNotReplayed = fault.Transient(kerr.KafkaStorageError, "records of the partition in the WAL have not been replayed; restart the broker")

// damage is where a partition ends because the following records are missing or damaged.
type damage struct {
	at   int64 // offset
	what string
}

// recovery replays the WAL into partition states, tail indexes and the uploader. It runs before
// everything else.
type recovery struct {
	parts   *partitions
	ledger  *upload.Ledger
	began   time.Time
	damaged map[topic.Partition]damage
	logs    map[topic.Partition]*replayed

	batches  int
	uploaded int                     // already in objects
	deleted  int                     // of topics with a recorded deletion
	behind   int                     // after damage in their partition; they stay in the WAL
	unknown  map[topic.Partition]int // of unknown or offline partitions; these stay too
	moved    int                     // of partitions that only other brokers have now
	stale    int                     // that are not in their partition's log any more
}

func (r *recovery) run(ctx context.Context, log *wal.Log) (wal.Report, error) {
	r.began = time.Now()
	r.damaged, r.unknown, r.logs = make(map[topic.Partition]damage), make(map[topic.Partition]int), make(map[topic.Partition]*replayed)
	report, err := log.Recover(ctx, r.batch)
	if err != nil {
		return report, err
	}
	r.parts.recovering = false
	r.parts.table.All(func(s *partition.State) bool {
		r.finish(s)
		return true
	})
	return report, nil
}

// tell logs the findings. The WAL itself has already logged its damage.
func (r *recovery) tell(log *slog.Logger, report wal.Report) {
	view := r.parts.meta.View()
	for p, d := range r.damaged {
		log.Error("a partition accepts no records: "+d.what+"; start once with --accept-lost-wal to continue there without the later records in the WAL, after exporting them with `sluice wal salvage`",
			"topic", nameOf(view, p.Topic), "partition", p.Index, "offset", d.at)
	}
	for p, n := range r.unknown {
		log.Error("keeping batches of an unknown partition in the WAL, since no deletion of it is recorded", "topic", nameOf(view, p.Topic), "partition", p.Index, "batches", n)
	}
	unknown := 0
	for _, n := range r.unknown {
		unknown += n
	}
	log.Info("recovered", "segments", report.Segments, "groups", report.Groups, "batches", report.Batches, "bytes", report.Bytes,
		"taken", r.batches, "dropped_uploaded", r.uploaded, "dropped_deleted", r.deleted, "kept_unknown", unknown, "kept_damaged", r.behind, "kept_moved", r.moved, "stale", r.stale,
		"torn_tail", report.Torn, "took", report.Took.Round(time.Millisecond))
}

// nameOf returns the name of a topic, or its id.
func nameOf(view *meta.View, id topic.ID) string {
	if t, ok := view.TopicByID(id); ok {
		return t.Name
	}
	return id.String()
}

// finish makes the replica of a partition, with the log that was recovered. A log that ends below
// its log start is incomplete, and deleted anyway: it continues at the log start.
func (r *recovery) finish(s *partition.State) {
	o := r.log(s)
	if start := s.LogStart(); s.TierEnd() < start && o.log.Appended < start {
		s.Tail.Trim(start)
		s.SetTierEnd(start)
		s.Publish(start)
		o.log = replication.Log{Start: start, Appended: start, PrevEpoch: epochBefore(s.Epochs(), start)}
	}
	o.log.Durable = o.log.Appended
	s.Lane.Producers = o.producers
	r.parts.replicas.Open(s, o.log, o.stale)
	r.parts.opened(s)
	s.Recovered()
}

// replayed is what was recovered of a partition.
type replayed struct {
	log       replication.Log
	producers *idempotence.Producers // nil: none in the WAL
	stale     bool                   // what the WAL has is not part of the log
}

// log returns what was recovered of a partition so far.
func (r *recovery) log(s *partition.State) *replayed {
	o, ok := r.logs[s.ID]
	if !ok {
		start := s.TierEnd()
		o = &replayed{log: replication.Log{Start: start, Appended: start, PrevEpoch: epochBefore(s.Epochs(), start)}}
		r.logs[s.ID] = o
	}
	return o
}

// batch replays one batch of the log. Batches in objects were uploaded before the WAL was
// reclaimed. Only data known to be deleted is dropped. A partition ends at the first missing or
// damaged batch, and what follows stays in the WAL.
func (r *recovery) batch(b wal.Recovered) error {
	s, ok := r.parts.table.Get(b.Partition)
	switch {
	case !ok && r.parts.gone(b.Partition.Topic):
		r.deleted++
		return nil
	case !ok:
		r.keep(b.Partition)
		return nil
	case b.Base < s.TierEnd():
		r.uploaded++
		return nil
	}
	if _, ok := r.damaged[b.Partition]; ok {
		r.behind++
		return nil
	}
	o := r.log(s)
	if o.stale || o.log.Appended == o.log.Start && b.Epoch < o.log.PrevEpoch {
		o.stale = true // another leader's records are in objects instead of those before it
		r.stale++
		return nil
	}
	if b.Damaged || b.Base != o.log.Appended {
		r.damage(s, o.log.Appended, b)
		return nil
	}
	e := partition.Entry{Base: b.Base, Position: b.Position, Group: b.Group, MaxTimestamp: b.Batch.MaxTimestamp(),
		Size: int32(len(b.Batch)), Count: b.Batch.LastOffsetDelta() + 1, Epoch: b.Epoch}
	if o.producers == nil {
		o.producers = r.parts.idem.of(b.Partition)
	}
	o.producers.Append(idempotence.Header(b.Batch, r.began.UnixMilli()), b.Base)
	o.log.Extend(b.Epoch, e.End())
	s.Tail.Append(e)
	s.NoteEpoch(b.Epoch, b.Base)
	r.ledger.Recovered(s, b.Position+partition.Position(len(b.Batch)), int64(len(b.Batch)))
	r.batches++
	return nil
}

// keep counts a batch that is not replayed. It stays in the WAL until the metadata says that it is
// not needed here.
func (r *recovery) keep(id topic.Partition) {
	m, ok := r.parts.meta.View().Partition(id)
	moved := ok && !m.Offline
	r.parts.keep(id, moved)
	if moved {
		r.moved++
		return
	}
	r.unknown[id]++
}

// damage ends a partition before b.
func (r *recovery) damage(s *partition.State, next int64, b wal.Recovered) {
	d := damage{at: next, what: fmt.Sprintf("records from offset %d to before %d are missing from the WAL", next, b.Base)}
	if b.Damaged {
		d.what = fmt.Sprintf("the batch at offset %d is damaged in the WAL", b.Base)
	}
	r.damaged[b.Partition] = d
	r.behind++
	s.Lose(ErrHole)
}
