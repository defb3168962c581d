package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// damageReport is a broker's report of what is damaged or offline.
type damageReport struct {
	Cluster    string              `json:"cluster_id"`
	Shards     []offlineShard      `json:"shards"`
	Partitions []troubledPartition `json:"partitions"`
	More       int                 `json:"more"`
}

type offlineShard struct {
	Shard int    `json:"shard"`
	Why   string `json:"why"`
}

type troubledPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Why       string `json:"why"`
	FoundBy   string `json:"found_by"` // start, upload or reader
}

// sources returns where to find more about the findings.
func (r *damageReport) sources() string {
	found := make(map[string]bool)
	for _, x := range r.Partitions {
		found[x.FoundBy] = true
	}
	var all []string
	if found["start"] || len(r.Shards) > 0 {
		all = append(all, "the broker's log at start has details")
	}
	if found["upload"] {
		all = append(all, "an ERROR in the broker's log says since when and why uploads fail")
	}
	if found["reader"] {
		all = append(all, "of what readers came to, an ERROR in the broker's log of that time names objects and offsets, and `sluice object verify --metadata` reads all objects")
	}
	return strings.Join(append(all, `"When something fails" in docs/operations.md says what can be done`), "; ")
}

// partitions counts the distinct partitions in the report.
func (r *damageReport) partitions() int {
	return len(slices.CompactFunc(slices.Clone(r.Partitions), func(a, b troubledPartition) bool {
		return a.Topic == b.Topic && a.Partition == b.Partition
	}))
}

// damage queries the admin server of a broker of this cluster. It returns an error if none
// responds.
func (c *cli) damage(ctx context.Context, admin, cluster string) (*damageReport, error) {
	var r damageReport
	if err := c.ask(ctx, http.MethodGet, admin, "/damage", nil, &r); err != nil {
		return nil, err
	}
	if r.Cluster != cluster {
		return nil, fmt.Errorf("the admin server at %s is of the cluster %s, not of %s; set --admin to the broker's admin address", admin, r.Cluster, cluster)
	}
	return &r, nil
}

// printDamage prints what is damaged, or that it is unknown.
func (c *cli) printDamage(s *clusterStatus) error {
	if s.Damage == nil {
		fmt.Fprintf(c.stdout, "damage: not known, %s\n", s.Unknown)
		return nil
	}
	if len(s.Damage.Shards) > 0 {
		t := c.table("OFFLINE SHARD", "WHY")
		for _, x := range s.Damage.Shards {
			t.row(x.Shard, x.Why)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(s.Damage.Partitions) == 0 {
		return nil
	}
	t := c.table("TOPIC", "PARTITION", "WHY")
	for _, x := range s.Damage.Partitions {
		t.row(x.Topic, x.Partition, x.Why)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if s.Damage.More > 0 {
		fmt.Fprintf(c.stdout, "and %s more\n", plural(s.Damage.More, "line"))
	}
	return nil
}
