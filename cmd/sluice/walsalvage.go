package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/stages/wal"
)

// salvageLimit limits the decompressed size of one batch.
const salvageLimit = 256 << 20

func newWALSalvage(c *cli) *cobra.Command {
	var only string
	cmd := &cobra.Command{
		Use: "salvage [DIR]", Short: "Export the readable records of a write-ahead log", Args: cobra.MaximumNArgs(1),
		Long: `Prints every readable record of a write-ahead log, even if the log is damaged, has lost
files, or has no metadata. Each line is a JSON document as from consume --json, with the
topic ID instead of the name. Unreadable parts are reported on standard error, and the
exit code is then 1. Records that were uploaded and whose space was freed are no longer in
the log. To write the records of one partition to another topic:

  sluice wal salvage DIR --partition 7b1e.../0 | jq -r .value | sluice produce TOPIC

` + walUsage,
		RunE: func(cmd *cobra.Command, args []string) error { return c.salvage(cmd.Context(), args, only) },
	}
	cmd.Flags().StringVar(&only, "partition", "", "only the partition `TOPIC_ID/INDEX`")
	return cmd
}

func (c *cli) salvage(ctx context.Context, args []string, only string) error {
	dir, path, err := c.openWAL(args)
	if err != nil {
		return err
	}
	s := &salvage{out: json.NewEncoder(c.stdout), only: only, say: func(format string, args ...any) { fmt.Fprintf(c.stderr, format+"\n", args...) }}
	report, err := wal.Salvage(ctx, dir, s.batch)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	if report.Segments == 0 {
		return noLog(path)
	}
	for _, k := range report.Corruptions {
		s.say("unreadable: %s from position %d on, group %d: %s", k.Segment, k.Position, k.Sequence, k.Reason)
	}
	s.say("%s of %s in %s", plural(s.records, "record"), plural(report.Batches, "batch"), plural(report.Segments, "segment"))
	if n := len(report.Corruptions) + s.damaged; n > 0 {
		return fmt.Errorf("the WAL in %s is damaged in %s; the readable records were printed", path, plural(n, "place"))
	}
	return nil
}

// salvage prints records.
type salvage struct {
	out     *json.Encoder
	only    string
	say     func(format string, args ...any)
	records int
	damaged int // batches
}

func (s *salvage) batch(b wal.Recovered) error {
	if s.only != "" && s.only != fmt.Sprintf("%s/%d", b.Partition.Topic, b.Partition.Index) {
		return nil
	}
	if b.Damaged {
		s.damaged++
		s.say("unreadable: the batch at offset %d of %s/%d", b.Base, b.Partition.Topic, b.Partition.Index)
		return nil
	}
	if b.Batch.IsControl() {
		return nil
	}
	for r, err := range b.Batch.Records(salvageLimit) {
		if err != nil {
			s.damaged++
			s.say("unreadable: the batch at offset %d of %s/%d: %v", b.Base, b.Partition.Topic, b.Partition.Index, err)
			return nil
		}
		s.records++
		if err := s.out.Encode(documentOf(kafkaRecord(b, r))); err != nil {
			return err
		}
	}
	return nil
}

func kafkaRecord(b wal.Recovered, r record.Record) *kgo.Record {
	k := &kgo.Record{Topic: b.Partition.Topic.String(), Partition: b.Partition.Index, Offset: r.Offset,
		Timestamp: time.UnixMilli(r.Timestamp), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
	}
	return k
}
