package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumption holds the options of one run of consume.
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
		Long: `Prints records, by default the values of all records that exist when it starts, one per
line. With --group it starts at the group's committed offsets, or at --from where there
are none, and commits what it has printed.

The exit code is 1 if a partition cannot be read for --timeout, or immediately if the next
records are lost. With --follow the error is printed on standard error instead, and the
other partitions continue.

--format is text with these verbs:

  %t %T  topic and its length               %p  partition
  %k %K  key and its length                 %o  offset
  %v %V  value and its length               %e  leader epoch
  %H     number of headers                  %d  timestamp, in milliseconds since 1970
  %h{%k=%v }  each header, with its key and value, and %K and %V for their lengths
  %x %y  producer ID and epoch              %i  number of the record, from 1
  %a{compression}  none, gzip, snappy, lz4 or zstd

Text takes a form in braces, as %k{hex} or %v{base64}; numbers hex, big32, little64 and the like, as
%o{hex}; times %d{strftime[%F %T]} or %d{go[2006-01-02 15:04:05]}, in UTC. \t, \n, \r, \\ and \x00
are characters, as are %%, %{ and %}.`,
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
	f.Int64Var(&o.count, "count", 0, "stop after `N` records; 0 means no limit")
	f.BoolVar(&o.follow, "follow", false, "wait for new records until interrupted")
	f.Int32SliceVar(&o.partitions, "partition", nil, "only partition `N`; may be repeated")
	hideDefaults(cmd, "partition")
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
	r := &reader{consumption: o, show: show, out: bufio.NewWriterSize(c.stdout, 64<<10), left: make(map[int32]span),
		patience: c.timeout, say: c.say, failing: make(map[int32]*failing)}
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
	cl, err := c.connect(ctx, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: at}), kgo.FetchMaxWait(time.Second),
		kgo.KeepRetryableFetchErrors())
	if err != nil {
		return err
	}
	defer cl.Close()
	return r.run(ctx, cl)
}

// spans returns the readable ranges of the requested partitions.
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
				return fmt.Errorf("topic %s has no partition %d; `sluice topic describe %s` shows which it has", o.topic, p, argument(o.topic))
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
			switch was, ok := had.Lookup(s.topic, s.partition); {
			case ok && was.Err != nil:
				return ofPartition(s.topic, s.partition, -1, fmt.Errorf("offset of group %s: %w", o.group, was.Err))
			case ok && was.At >= 0:
				s.from = max(was.At, s.start)
			}
		}
		return nil
	})
	return spans, err
}
