package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTopicAlter(c *cli) *cobra.Command {
	var partitions int
	var set, unset []string
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Add partitions to a topic, or change its configs", Args: cobra.ExactArgs(1),
		Example:           "  sluice topic alter orders --partitions 16 --config retention.ms=3600000 --delete-config retention.bytes",
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := assignments("--config", set)
			if err != nil {
				return err
			}
			if partitions == 0 && len(values) == 0 && len(unset) == 0 {
				return usagef("nothing to alter: give --partitions, --config or --delete-config")
			}
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				return c.alterTopic(ctx, a, args[0], partitions, values, unset)
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&partitions, "partitions", 0, "new number `N` of partitions, above the current one")
	f.StringArrayVar(&set, "config", nil, "`KEY=VALUE` to set; may be repeated")
	f.StringArrayVar(&unset, "delete-config", nil, "`KEY` to reset to its default; may be repeated")
	return cmd
}

func (c *cli) alterTopic(ctx context.Context, a *kadm.Client, name string, partitions int, set map[string]string, unset []string) error {
	if err := alterConfigs(ctx, a, name, set, unset); err != nil {
		return err
	}
	if partitions != 0 {
		rs, err := a.UpdatePartitions(ctx, partitions, name)
		if err != nil {
			return refusal("topic", name, err, "")
		}
		if r := rs[name]; r.Err != nil {
			return refusal("topic", name, r.Err, r.ErrMessage)
		}
	}
	return c.result(map[string]any{"topic": name, "altered": true}, "altered topic %s", name)
}

// alterConfigs sets and unsets configs of a topic, all or none.
func alterConfigs(ctx context.Context, a *kadm.Client, name string, set map[string]string, unset []string) error {
	var changes []kadm.AlterConfig
	for _, k := range slices.Sorted(maps.Keys(set)) {
		v := set[k]
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
	}
	for _, k := range unset {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: k})
	}
	if len(changes) == 0 {
		return nil
	}
	rs, err := a.AlterTopicConfigs(ctx, changes, name)
	if err != nil {
		return fmt.Errorf("alter topic %s: %w", name, err)
	}
	r, err := rs.On(name, nil)
	if err == nil {
		err = r.Err
	}
	return refusal("topic", name, err, r.ErrMessage)
}

func newTopicDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete topics and their records", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				rs, err := a.DeleteTopics(ctx, args...)
				if err != nil {
					return fmt.Errorf("delete topics: %w", err)
				}
				var errs []error
				for _, name := range args {
					if r := rs[name]; r.Err != nil {
						errs = append(errs, refusal("topic", name, r.Err, r.ErrMessage))
						continue
					}
					errs = append(errs, c.result(map[string]any{"topic": name, "deleted": true}, "deleted topic %s", name))
				}
				return errors.Join(errs...)
			})
		},
	}
}
