package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumption is one run of consume.
type consumption struct {
	topic      string
	from       string
	group      string
	count      int64
	follow     bool
	partitions []int32
	format     string
}

func newConsume(c *cli) *cobra.Command {
	o := &consumption{}
	cmd := &cobra.Command{
		Use: "consume TOPIC", Short: "Print the records of a topic", Args: cobra.ExactArgs(1),
		Long: `Prints records, by default the values of all there are when it starts, one a line.
With --group the group's committed offsets say where to begin, --from only where it
has none, and what was printed is committed.

--format takes %t topic, %p partition, %o offset, %k key, %v value, %d timestamp,
%H number of headers and more, with \n and \t; see NewRecordFormatter of franz-go.`,
		Example: `  sluice consume orders --from end --follow
  sluice consume orders --from 2026-01-31T12:00:00Z --count 10 --format '%p/%o %k=%v\n'
  sluice consume orders --group billing --json`,
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.topic = args[0]
			return c.consume(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "start", "start, end, an offset, a time such as 2026-01-31T12:00:00Z, or @ and milliseconds since 1970")
	f.StringVar(&o.group, "group", "", "consume as a member of `GROUP`")
	f.Int64Var(&o.count, "count", 0, "end after `N` records; 0 means no limit")
	f.BoolVar(&o.follow, "follow", false, "wait for new records until interrupted")
	f.Int32SliceVar(&o.partitions, "partition", nil, "`N`, only this partition; may be repeated")
	f.StringVar(&o.format, "format", `%v\n`, "`LAYOUT` of each record")
	return cmd
}

func (c *cli) consume(ctx context.Context, o *consumption) error {
	from, err := parsePlace(o.from)
	switch {
	case err != nil:
		return usagef("--from: %w", err)
	case o.count < 0:
		return usagef("--count must not be negative")
	case o.group != "" && len(o.partitions) > 0:
		return usagef("--partition cannot be given with --group; the group divides the partitions")
	}
	show, err := c.printer(o)
	if err != nil {
		return err
	}
	spans, err := c.spans(ctx, o, from)
	if err != nil {
		return err
	}
	r := &reader{consumption: o, show: show, out: bufio.NewWriterSize(c.stdout, 64<<10), left: make(map[int32]span)}
	for _, s := range spans {
		r.left[s.partition] = s
	}
	if o.group != "" {
		return c.consumeGroup(ctx, r)
	}
	at := make(map[int32]kgo.Offset)
	for _, s := range spans {
		if o.follow || s.from < s.end {
			at[s.partition] = kgo.NewOffset().At(s.from)
		}
	}
	if len(at) == 0 {
		return nil // nothing to read
	}
	cl, err := c.connect(ctx, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: at}), kgo.FetchMaxWait(time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	return r.run(ctx, cl)
}

// spans returns what there is to read of the partitions wanted.
func (c *cli) spans(ctx context.Context, o *consumption, from place) (spans []span, err error) {
	err = c.admin(ctx, func(ctx context.Context, a *kadm.Client) error {
		all, err := resolve(ctx, a, from, o.topic)
		if err != nil {
			return err
		}
		for _, s := range all {
			if len(o.partitions) == 0 || slices.Contains(o.partitions, s.partition) {
				spans = append(spans, s)
			}
		}
		for _, p := range o.partitions {
			if !slices.ContainsFunc(all, func(s span) bool { return s.partition == p }) {
				return fmt.Errorf("topic %s has no partition %d; `sluice topic describe %s` shows which it has", o.topic, p, o.topic)
			}
		}
		if o.group == "" {
			return nil
		}
		had, err := a.FetchOffsets(ctx, o.group)
		if err != nil {
			return refusal("group", o.group, err, "")
		}
		for i := range spans {
			s := &spans[i]
			if was, ok := had.Lookup(s.topic, s.partition); ok && was.Err == nil && was.At >= 0 {
				s.from = max(was.At, s.start)
			}
		}
		return nil
	})
	return spans, err
}

// reader prints records until it has what was asked for.
type reader struct {
	*consumption
	show    func(io.Writer, *kgo.Record) error
	out     *bufio.Writer
	left    map[int32]span // what is still to be read, by partition
	printed int64
	member  *membership // nil: without a group
}

// run prints until all is read, ctx is done or something fails. An interrupt is
// the usual end of following.
func (r *reader) run(ctx context.Context, cl *kgo.Client) error {
	for !r.finished() {
		fs := r.poll(ctx, cl)
		if ctx.Err() != nil {
			return nil
		}
		for it := fs.RecordIter(); !it.Done() && !r.full(); {
			if err := r.take(it.Next()); err != nil {
				return err
			}
		}
		if err := r.out.Flush(); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		if err := r.failure(fs); err != nil && !r.full() {
			return err
		}
		if r.member != nil {
			if err := r.member.commit(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// failure returns the first failure of a poll whose records were taken, so that it says
// where it is.
func (r *reader) failure(fs kgo.Fetches) (failed error) {
	fs.EachError(func(topic string, p int32, err error) {
		if failed != nil || errors.Is(err, context.DeadlineExceeded) {
			return
		}
		at := r.left[p].from
		var tooLarge *kgo.ErrDecompressTooLarge
		if errors.As(err, &tooLarge) {
			at = tooLarge.Offset
		}
		if topic != "" { // else it is of all of them
			err = fmt.Errorf("partition %d, at offset %d: %w", p, at, err)
		}
		failed = refusal("topic", topic, err, "")
	})
	return failed
}

// poll waits for records; with a group not for long, so that an assignment
// without records is seen.
func (r *reader) poll(ctx context.Context, cl *kgo.Client) kgo.Fetches {
	if r.member != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
	}
	return cl.PollRecords(ctx, r.most())
}

// most is how many records a poll may return.
func (r *reader) most() int {
	if r.count > 0 {
		return int(min(r.count-r.printed, 10_000))
	}
	return 10_000
}

func (r *reader) full() bool { return r.count > 0 && r.printed >= r.count }

func (r *reader) take(rec *kgo.Record) error {
	s, ok := r.left[rec.Partition]
	if !r.follow && ok && rec.Offset >= s.end {
		return nil // came after the start
	}
	s.from = rec.Offset + 1
	r.left[rec.Partition] = s
	r.printed++
	if err := r.show(r.out, rec); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if r.member != nil {
		r.member.printed(rec)
	}
	return nil
}

// finished says whether there is nothing left to wait for.
func (r *reader) finished() bool {
	switch {
	case r.full():
		return true
	case r.follow:
		return false
	case r.member != nil:
		return r.member.through(r.left)
	}
	for _, s := range r.left {
		if s.from < s.end {
			return false
		}
	}
	return true
}
