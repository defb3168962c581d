package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// reset holds the options that select where a group continues.
type reset struct {
	group    string
	topics   []string
	earliest bool
	latest   bool
	offset   int64
	datetime string
	dryRun   bool
}

func newGroupReset(c *cli) *cobra.Command {
	r := &reset{}
	cmd := &cobra.Command{
		Use: "reset GROUP", Short: "Set the offsets of a group without members", Args: cobra.ExactArgs(1),
		Long: `Resets the committed offsets of a group, for the given topics or for all topics with
committed offsets. The group must have no members.`,
		Example: `  sluice group reset billing --to-earliest --dry-run
  sluice group reset billing --topic orders --to-datetime 2026-01-31T12:00:00Z`,
		ValidArgsFunction: c.completeGroups,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.group = args[0]
			to, err := r.target(cmd)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error { return c.reset(ctx, a, r, to) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.topics, "topic", nil, "`TOPIC` to reset; may be repeated")
	f.BoolVar(&r.earliest, "to-earliest", false, "continue at the first available record")
	f.BoolVar(&r.latest, "to-latest", false, "continue after the last record")
	f.Int64Var(&r.offset, "to-offset", 0, "continue at offset `N`, or the nearest available")
	f.StringVar(&r.datetime, "to-datetime", "", "continue at the first record at or after `TIME`, such as 2026-01-31T12:00:00Z")
	f.BoolVar(&r.dryRun, "dry-run", false, "only show what would change")
	cmd.MarkFlagsMutuallyExclusive("to-earliest", "to-latest", "to-offset", "to-datetime")
	return cmd
}

// target returns the position given by the flags.
func (r *reset) target(cmd *cobra.Command) (place, error) {
	switch {
	case r.earliest:
		return place{kind: atStart}, nil
	case r.latest:
		return place{kind: atEnd}, nil
	case cmd.Flags().Changed("to-offset"):
		if r.offset < 0 {
			return place{}, usagef("--to-offset must not be negative")
		}
		return place{kind: atOffset, at: r.offset}, nil
	case r.datetime != "":
		t, err := parseTime(r.datetime)
		if err != nil {
			return place{}, usagef("--to-datetime: %w", err)
		}
		return place{kind: atTime, at: t.UnixMilli()}, nil
	}
	return place{}, usagef("give the position: --to-earliest, --to-latest, --to-offset or --to-datetime")
}

func (c *cli) reset(ctx context.Context, a *kadm.Client, r *reset, to place) error {
	described, err := a.DescribeGroups(ctx, r.group)
	if err != nil {
		return fmt.Errorf("describe group %s: %w", r.group, err)
	}
	if n := len(described[r.group].Members); n > 0 {
		return fmt.Errorf("group %s has %s; stop them first, or they will overwrite the new offsets", r.group, plural(n, "member"))
	}
	had, err := a.FetchOffsets(ctx, r.group)
	if err != nil {
		return refusal("group", r.group, err, "")
	}
	topics := r.topics
	if len(topics) == 0 {
		for t := range had {
			topics = append(topics, t)
		}
	}
	if len(topics) == 0 {
		return fmt.Errorf("group %s has committed no offsets; name the topics with --topic", r.group)
	}
	slices.Sort(topics)
	found, err := resolve(ctx, a, to, topics...)
	if err != nil {
		return err
	}
	set := make(kadm.Offsets)
	for _, o := range found {
		set.AddOffset(o.topic, o.partition, o.from, -1)
	}
	if !r.dryRun {
		if err := a.CommitAllOffsets(ctx, r.group, set); err != nil {
			return refusal("group", r.group, err, "")
		}
	}
	return c.printReset(r, had, set)
}

func (c *cli) printReset(r *reset, had kadm.OffsetResponses, set kadm.Offsets) error {
	if c.json {
		for _, o := range set.Sorted() {
			if err := c.emit(map[string]any{"group": r.group, "topic": o.Topic, "partition": o.Partition,
				"from_offset": committed(had, o), "to_offset": o.At, "dry_run": r.dryRun}); err != nil {
				return err
			}
		}
		return nil
	}
	t := c.table("TOPIC", "PARTITION", "WAS", "IS")
	for _, o := range set.Sorted() {
		was := fmt.Sprint(committed(had, o))
		if was == "-1" {
			was = "-"
		}
		t.row(o.Topic, o.Partition, was, o.At)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if r.dryRun {
		fmt.Fprintln(c.stdout, "nothing was changed; run without --dry-run to apply")
	}
	return nil
}

// committed returns the group's previous offset, or -1.
func committed(had kadm.OffsetResponses, o kadm.Offset) int64 {
	if was, ok := had.Lookup(o.Topic, o.Partition); ok && was.Err == nil {
		return was.At
	}
	return -1
}

// parseTime parses a point in time in common notations.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time; use a form like 2026-01-31T12:00:00Z or 2026-01-31", s)
}
