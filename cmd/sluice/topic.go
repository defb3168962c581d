package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTopic(c *cli) *cobra.Command {
	return family("topic", "Create, list, describe, alter and delete topics",
		newTopicCreate(c), newTopicList(c), newTopicDescribe(c), newTopicAlter(c), newTopicDelete(c))
}

// kafkaID writes the id of a topic as Kafka's own tools do.
func kafkaID(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// assignments parses flags of the form KEY=VALUE.
func assignments(flag string, given []string) (map[string]string, error) {
	out := make(map[string]string, len(given))
	for _, kv := range given {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, usagef("%s %q must be KEY=VALUE", flag, kv)
		}
		if _, twice := out[k]; twice {
			return nil, usagef("%s %s is given twice", flag, k)
		}
		out[k] = v
	}
	return out, nil
}

func newTopicCreate(c *cli) *cobra.Command {
	var partitions int32
	var replicas int16
	var configs []string
	var quiet bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a topic", Args: cobra.ExactArgs(1),
		Example: "  sluice topic create orders --partitions 8 --config retention.ms=86400000",
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := assignments("--config", configs)
			if err != nil {
				return err
			}
			if partitions == 0 || partitions < -1 {
				return usagef("--partitions must be at least 1, or -1 for the broker's default")
			}
			values := make(map[string]*string, len(set))
			for k, v := range set {
				values[k] = &v
			}
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				return c.createTopic(ctx, a, args[0], partitions, replicas, values, quiet)
			})
		},
	}
	f := cmd.Flags()
	f.Int32Var(&partitions, "partitions", -1, "`N` partitions; -1, as when not given, for the broker's default")
	f.Int16Var(&replicas, "replication-factor", -1, "`N` replicas; -1, as when not given, for the broker's default")
	hideDefaults(cmd, "partitions", "replication-factor")
	f.StringArrayVar(&configs, "config", nil, "`KEY=VALUE` of the topic's config, such as retention.ms=86400000; may be repeated")
	f.BoolVar(&quiet, "if-not-exists", false, "do nothing if the topic exists")
	return cmd
}

func (c *cli) createTopic(ctx context.Context, a *kadm.Client, name string, partitions int32, replicas int16, configs map[string]*string, quiet bool) error {
	r, err := a.CreateTopic(ctx, partitions, replicas, configs, name)
	exists := errors.Is(err, kerr.TopicAlreadyExists)
	if exists && quiet {
		return c.result(map[string]any{"topic": name, "created": false}, "topic %s exists", name)
	}
	if err != nil {
		return refusal("topic", name, err, r.ErrMessage)
	}
	return c.result(map[string]any{"topic": name, "created": true, "id": kafkaID(r.ID), "partitions": r.NumPartitions, "replication_factor": r.ReplicationFactor},
		"created topic %s with %s", name, plural(int(r.NumPartitions), "partition"))
}

// topicSummary is a line of topic list.
type topicSummary struct {
	Topic      string `json:"topic"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replication_factor"`
	Internal   bool   `json:"internal"`
}

func newTopicList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List topics", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				topics, err := a.ListTopicsWithInternal(ctx)
				if err != nil {
					return fmt.Errorf("list topics: %w", err)
				}
				return c.listTopics(topics.Sorted())
			})
		},
	}
}

func (c *cli) listTopics(topics []kadm.TopicDetail) error {
	var all []topicSummary
	for _, t := range topics {
		s := topicSummary{t.Topic, kafkaID(t.ID), len(t.Partitions), 0, t.IsInternal}
		for _, p := range t.Partitions {
			s.Replicas = max(s.Replicas, len(p.Replicas))
		}
		all = append(all, s)
	}
	if c.json {
		for _, s := range all {
			if err := c.emit(s); err != nil {
				return err
			}
		}
		return nil
	}
	t := c.table("TOPIC", "PARTITIONS", "REPLICAS")
	for _, s := range all {
		t.row(s.Topic, s.Partitions, s.Replicas)
	}
	return t.flush()
}

// topicDescription is the output of topic describe.
type topicDescription struct {
	Topic      string            `json:"topic"`
	ID         string            `json:"id"`
	HexID      string            `json:"id_hex"`  // as in the WAL and in objects
	Configs    map[string]string `json:"configs"` // set for the topic; the rest are defaults
	Partitions []partitionInfo   `json:"partitions"`
}

type partitionInfo struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"leader_epoch"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"in_sync_replicas"`
	Start     int64   `json:"start_offset"`
	End       int64   `json:"end_offset"`
}

func newTopicDescribe(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME...", Short: "Show partitions, offsets and configs of topics", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				for i, name := range args {
					d, err := describeTopic(ctx, a, name)
					if err != nil {
						return err
					}
					if i > 0 && !c.json {
						fmt.Fprintln(c.stdout)
					}
					if err := c.printTopic(d); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func describeTopic(ctx context.Context, a *kadm.Client, name string) (*topicDescription, error) {
	topics, err := a.ListTopicsWithInternal(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("describe topic %s: %w", name, err)
	}
	t := topics[name]
	if t.Err != nil {
		return nil, refusal("topic", name, t.Err, "")
	}
	starts, err := a.ListStartOffsets(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("start offsets of %s: %w", name, err)
	}
	ends, err := a.ListEndOffsets(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("end offsets of %s: %w", name, err)
	}
	d := &topicDescription{Topic: name, ID: kafkaID(t.ID), HexID: hex.EncodeToString(t.ID[:])}
	for _, p := range t.Partitions.Sorted() {
		d.Partitions = append(d.Partitions, partitionInfo{p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR,
			starts[name][p.Partition].Offset, ends[name][p.Partition].Offset})
	}
	d.Configs, err = topicConfigs(ctx, a, name, false)
	return d, err
}

// topicConfigs returns the configs of a topic: all, or only those set for it.
func topicConfigs(ctx context.Context, a *kadm.Client, name string, all bool) (map[string]string, error) {
	rs, err := a.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("configs of topic %s: %w", name, err)
	}
	r, err := rs.On(name, nil)
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return nil, refusal("topic", name, err, r.ErrMessage)
	}
	out := make(map[string]string)
	for _, kv := range r.Configs {
		if all || kv.Source == kmsg.ConfigSourceDynamicTopicConfig {
			out[kv.Key] = kv.MaybeValue()
		}
	}
	return out, nil
}

func (c *cli) printTopic(d *topicDescription) error {
	if c.json {
		return c.emit(d)
	}
	fmt.Fprintf(c.stdout, "topic %s, id %s (%s)\n", d.Topic, d.ID, d.HexID)
	for _, k := range slices.Sorted(maps.Keys(d.Configs)) {
		fmt.Fprintf(c.stdout, "  %s=%s\n", k, d.Configs[k])
	}
	t := c.table("PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC", "START", "END")
	for _, p := range d.Partitions {
		t.row(p.Partition, p.Leader, p.Epoch, ids(p.Replicas), ids(p.ISR), p.Start, p.End)
	}
	return t.flush()
}

// ids formats broker ids.
func ids(list []int32) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

// completeTopics completes topic names in the shell.
func (c *cli) completeTopics(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	err := c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
		topics, err := a.ListTopics(ctx)
		names = topics.Names()
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
