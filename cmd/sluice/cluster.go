package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newCluster(c *cli) *cobra.Command {
	return family("cluster", "Look at the cluster", newClusterStatus(c), newClusterMemory(c))
}

// clusterStatus is the output of cluster status.
type clusterStatus struct {
	Cluster         string       `json:"cluster_id"`
	Controller      int32        `json:"controller"`
	Brokers         []brokerInfo `json:"brokers"`
	Topics          int          `json:"topics"`
	Partitions      int          `json:"partitions"`
	Leaderless      int          `json:"leaderless_partitions"`
	UnderReplicated int          `json:"under_replicated_partitions"`
	// Damage is the report of the broker at --admin; missing if it does not respond, and then
	// Unknown says why.
	Damage  *damageReport `json:"damage,omitempty"`
	Unknown string        `json:"damage_unknown,omitempty"`
}

type brokerInfo struct {
	ID      int32  `json:"id"`
	Host    string `json:"host"`
	Port    int32  `json:"port"`
	Rack    string `json:"rack,omitempty"`
	Leads   int    `json:"leads"` // number of partitions
	Answers bool   `json:"answers"`
}

func newClusterStatus(c *cli) *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use: "status", Short: "Show brokers, and partitions with problems", Args: cobra.NoArgs,
		Long: `Shows the brokers of the cluster and whether each responds, how many partitions have no
leader or too few replicas in sync, and, from the admin server of a broker, which
metadata shards and partitions are damaged or offline, and why. Damaged objects appear
once a reader finds them; "sluice object verify" reads all. The exit code is 1 if there
is a problem, or if the state is unknown because no admin server responds.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
				s, err := status(ctx, a)
				if err != nil {
					return err
				}
				if s.Damage, err = c.damage(ctx, admin, s.Cluster); err != nil {
					s.Unknown = err.Error()
				}
				if err := c.printStatus(s); err != nil {
					return err
				}
				return s.trouble()
			})
		},
	}
	adminFlag(cmd, &admin)
	return cmd
}

// adminFlag adds the flag for the address of a broker's admin server.
func adminFlag(cmd *cobra.Command, admin *string) {
	cmd.Flags().StringVar(admin, "admin", "127.0.0.1:9642", "`HOST:PORT` of the broker's admin server")
}

func status(ctx context.Context, a *kadm.Client) (*clusterStatus, error) {
	m, err := a.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	s := &clusterStatus{Cluster: m.Cluster, Controller: m.Controller, Topics: len(m.Topics)}
	leads := make(map[int32]int)
	m.Topics.EachPartition(func(p kadm.PartitionDetail) {
		s.Partitions++
		if p.Err != nil || p.Leader < 0 {
			s.Leaderless++
		} else {
			leads[p.Leader]++
		}
		if len(p.ISR) < len(p.Replicas) {
			s.UnderReplicated++
		}
	})
	versions, err := a.ApiVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask all brokers: %w", err)
	}
	for _, b := range m.Brokers {
		info := brokerInfo{ID: b.NodeID, Host: b.Host, Port: b.Port, Leads: leads[b.NodeID], Answers: versions[b.NodeID].Err == nil}
		if b.Rack != nil {
			info.Rack = *b.Rack
		}
		s.Brokers = append(s.Brokers, info)
	}
	return s, nil
}

// trouble returns the problems of the cluster as an error.
func (s *clusterStatus) trouble() error {
	for _, b := range s.Brokers {
		if !b.Answers {
			return fmt.Errorf("broker %d at %s:%d does not answer; check its log", b.ID, b.Host, b.Port)
		}
	}
	if s.Leaderless+s.UnderReplicated > 0 {
		return fmt.Errorf("partitions without leader: %d, with too few replicas in sync: %d; start the brokers that have them, and look for metadata shards that are offline, here with --admin or in their logs",
			s.Leaderless, s.UnderReplicated)
	}
	if d := s.Damage; d != nil && d.partitions()+len(d.Shards) > 0 {
		return fmt.Errorf("damaged or offline: %s and %s; %s",
			plural(d.partitions(), "partition"), plural(len(d.Shards), "metadata shard"), d.sources())
	}
	if s.Damage == nil {
		return fmt.Errorf("it is unknown whether anything is damaged: %s", s.Unknown)
	}
	return nil
}

func (c *cli) printStatus(s *clusterStatus) error {
	if c.json {
		return c.emit(s)
	}
	fmt.Fprintf(c.stdout, "cluster %s, controller %d\n%s, %s: %d without leader, %d with too few replicas in sync\n",
		s.Cluster, s.Controller, plural(s.Topics, "topic"), plural(s.Partitions, "partition"), s.Leaderless, s.UnderReplicated)
	t := c.table("BROKER", "ADDRESS", "RACK", "LEADS", "ANSWERS")
	for _, b := range s.Brokers {
		t.row(b.ID, fmt.Sprintf("%s:%d", b.Host, b.Port), or(b.Rack, "-"), b.Leads, b.Answers)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return c.printDamage(s)
}
