package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newGroup(c *cli) *cobra.Command {
	return family("group", "List, describe, reset and delete consumer groups",
		newGroupList(c), newGroupDescribe(c), newGroupReset(c), newGroupDelete(c))
}

func newGroupList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List consumer groups", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				groups, err := a.ListGroups(ctx)
				if err != nil {
					return fmt.Errorf("list groups: %w", err)
				}
				return c.listGroups(groups.Sorted())
			})
		},
	}
}

func (c *cli) listGroups(groups []kadm.ListedGroup) error {
	if c.json {
		for _, g := range groups {
			if err := c.emit(map[string]any{"group": g.Group, "state": g.State, "protocol_type": g.ProtocolType, "coordinator": g.Coordinator}); err != nil {
				return err
			}
		}
		return nil
	}
	t := c.table("GROUP", "STATE", "TYPE", "COORDINATOR")
	for _, g := range groups {
		t.row(g.Group, g.State, or(g.ProtocolType, "-"), g.Coordinator)
	}
	return t.flush()
}

// groupDescription is the output of group describe.
type groupDescription struct {
	Group       string       `json:"group"`
	State       string       `json:"state"`
	Protocol    string       `json:"protocol"`
	Coordinator int32        `json:"coordinator"`
	Lag         int64        `json:"lag"` // over all partitions
	Members     []memberInfo `json:"members"`
	Partitions  []lagInfo    `json:"partitions"`
}

type memberInfo struct {
	ID         string             `json:"id"`
	InstanceID string             `json:"instance_id,omitempty"`
	ClientID   string             `json:"client_id"`
	Host       string             `json:"host"`
	Assigned   map[string][]int32 `json:"assigned"`
}

type lagInfo struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed_offset"` // -1: none
	End       int64  `json:"end_offset"`
	Lag       int64  `json:"lag"`
	Member    string `json:"member,omitempty"`
	Error     string `json:"error,omitempty"`
}

func newGroupDescribe(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "describe GROUP...", Short: "Show members, offsets and lag of groups", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeGroups,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				lags, err := a.Lag(ctx, args...)
				if err != nil {
					return fmt.Errorf("describe groups: %w", err)
				}
				for i, name := range args {
					d, err := describeGroup(name, lags[name])
					if err != nil {
						return err
					}
					if i > 0 && !c.json {
						fmt.Fprintln(c.stdout)
					}
					if err := c.printGroup(d); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func describeGroup(name string, l kadm.DescribedGroupLag) (*groupDescription, error) {
	if err := l.Error(); err != nil {
		return nil, refusal("group", name, err, "")
	}
	if l.State == "Dead" {
		return nil, fmt.Errorf("group %s does not exist; `sluice group list` shows all", name)
	}
	d := &groupDescription{Group: name, State: l.State, Protocol: l.Protocol, Coordinator: l.Coordinator.NodeID,
		Lag: l.Lag.Total(), Members: []memberInfo{}, Partitions: []lagInfo{}}
	for _, m := range l.Members {
		info := memberInfo{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, Assigned: map[string][]int32{}}
		if m.InstanceID != nil {
			info.InstanceID = *m.InstanceID
		}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				info.Assigned[t.Topic] = t.Partitions
			}
		}
		d.Members = append(d.Members, info)
	}
	for _, p := range l.Lag.Sorted() {
		info := lagInfo{Topic: p.Topic, Partition: p.Partition, Committed: p.Commit.At, End: p.End.Offset, Lag: p.Lag}
		if p.Member != nil {
			info.Member = p.Member.MemberID
		}
		if p.Err != nil {
			info.Error = p.Err.Error()
		}
		d.Partitions = append(d.Partitions, info)
	}
	return d, nil
}

func (c *cli) printGroup(d *groupDescription) error {
	if c.json {
		return c.emit(d)
	}
	fmt.Fprintf(c.stdout, "group %s, %s, %s, lag %d\n", d.Group, d.State, plural(len(d.Members), "member"), d.Lag)
	if len(d.Partitions) == 0 {
		return nil
	}
	t := c.table("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER")
	for _, p := range d.Partitions {
		committed, lag := fmt.Sprint(p.Committed), fmt.Sprint(p.Lag)
		if p.Committed < 0 {
			committed = "-"
		}
		if p.Error != "" {
			lag = p.Error
		}
		t.row(p.Topic, p.Partition, committed, p.End, lag, or(p.Member, "-"))
	}
	return t.flush()
}

func newGroupDelete(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "delete GROUP...", Short: "Delete groups without members, and their offsets", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeGroups,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				rs, err := a.DeleteGroups(ctx, args...)
				if err != nil {
					return fmt.Errorf("delete groups: %w", err)
				}
				var errs []error
				for _, name := range args {
					if r := rs[name]; r.Err != nil {
						errs = append(errs, refusal("group", name, r.Err, r.ErrMessage))
						continue
					}
					errs = append(errs, c.result(map[string]any{"group": name, "deleted": true}, "deleted group %s", name))
				}
				return errors.Join(errs...)
			})
		},
	}
}

// completeGroups completes group names in the shell.
func (c *cli) completeGroups(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	err := c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
		groups, err := a.ListGroups(ctx)
		names = groups.Groups()
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
