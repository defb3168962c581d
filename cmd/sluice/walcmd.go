package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/stages/wal"
)

func newWAL(c *cli) *cobra.Command {
	return family("wal", "Inspect a write-ahead log", newWALDump(c), newWALVerify(c), newWALSalvage(c))
}

// walUsage describes the arguments of both commands.
const walUsage = `DIR is the log's directory; by default that of a development broker. Nothing is
changed. The broker may be running; then what it writes meanwhile may be missed.`

func newWALDump(c *cli) *cobra.Command {
	var groups bool
	cmd := &cobra.Command{
		Use: "dump [DIR]", Short: "Print the contents of a write-ahead log", Args: cobra.MaximumNArgs(1),
		Long: "Prints the groups of a write-ahead log and their batches, in log order.\n\n" + walUsage,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inspectWAL(cmd.Context(), args, func(v any) error {
				if _, ok := v.(wal.BatchInfo); ok && groups {
					return nil
				}
				return c.dumpWAL(v)
			})
		},
	}
	cmd.Flags().BoolVar(&groups, "groups", false, "omit batches")
	return cmd
}

func newWALVerify(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "verify [DIR]", Short: "Verify that a write-ahead log is intact", Args: cobra.MaximumNArgs(1),
		Long: "Reads a write-ahead log as a broker does when it starts. The exit code is 1 if\nacknowledged records may be missing or there is no log. A torn tail is no error: it was\nnot acknowledged.\n\n" + walUsage,
		RunE: func(cmd *cobra.Command, args []string) error {
			p := c.progress()
			defer p.done()
			n := 0
			return c.inspectWAL(cmd.Context(), args, func(v any) error {
				n++
				p.show("%d groups and batches read", n)
				return nil
			})
		},
	}
}

// openWAL opens the directory given by the arguments, or that of a development broker, for
// reading.
func (c *cli) openWAL(args []string) (dir *blockfs.Dir, path string, err error) {
	if len(args) > 0 {
		path = args[0]
	} else if path, err = c.inDataDirectory("wal"); err != nil {
		return nil, "", err
	}
	dir, err = blockfs.OpenDir(path, blockfs.Options{ReadOnly: true}, slog.New(slog.DiscardHandler))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("there is no WAL in %s; name its directory, or the broker's with --data-dir", path)
	}
	return dir, path, err
}

// inspectWAL emits the contents of a log and prints the report.
func (c *cli) inspectWAL(ctx context.Context, args []string, emit func(any) error) error {
	dir, path, err := c.openWAL(args)
	if err != nil {
		return err
	}
	report, err := wal.Inspect(ctx, dir, emit)
	err = errors.Join(err, dir.Close())
	if err != nil {
		return err
	}
	if report.Segments == 0 {
		return noLog(path)
	}
	if err := c.printReport(path, report); err != nil {
		return err
	}
	if n := len(report.Corruptions); n > 0 {
		return fmt.Errorf("the WAL in %s is corrupt in %s; acknowledged records may be missing: restore its files, or export what is readable with `sluice wal salvage`",
			path, plural(n, "place"))
	}
	return nil
}

// noLog is the message for a directory without segments.
func noLog(path string) error {
	return fmt.Errorf("there is no WAL in %s: it has no segments, as before the first start or after one that was refused", path)
}

func (c *cli) printReport(path string, r wal.Report) error {
	if c.json {
		return c.emit(struct {
			Kind string `json:"kind"` // "report"
			Path string `json:"path"`
			OK   bool   `json:"ok"`
			wal.Report
		}{"report", path, len(r.Corruptions) == 0, r})
	}
	for _, k := range r.Corruptions {
		fmt.Fprintf(c.stdout, "corrupt: %s at position %d, group %d: %s\n", k.Segment, k.Position, k.Sequence, k.Reason)
	}
	torn := ""
	if r.Torn {
		torn = ", followed by an incomplete tail that is ignored"
	}
	_, err := fmt.Fprintf(c.stdout, "%s, %s, %s (%s), last group %d, end at position %d%s\n", plural(r.Segments, "segment"),
		plural(r.Groups, "group"), plural(r.Batches, "batch"), size(float64(r.Bytes)), r.LastSequence, r.End, torn)
	return err
}

func (c *cli) dumpWAL(v any) (err error) {
	if c.json {
		return c.emit(v)
	}
	switch v := v.(type) {
	case wal.GroupInfo:
		_, err = fmt.Fprintf(c.stdout, "group %d at %d in %s: %d bytes, durable up to %d%s\n", v.Sequence, v.Position, v.Segment,
			v.Bytes, v.Durable, damage(v.Error))
	case wal.BatchInfo:
		_, err = fmt.Fprintf(c.stdout, "  %s/%d offsets %d to %d: %s, %d bytes, %s, epoch %d%s\n", v.Topic, v.Partition,
			v.BaseOffset, v.LastOffset, plural(int64(v.Count), "record"), v.Info.Bytes, v.Codec, v.LeaderEpoch, damage(v.Error))
	}
	return err
}

// damage formats damage as a suffix to an item's line.
func damage(text string) string {
	if text == "" {
		return ""
	}
	return "  DAMAGED: " + text
}
