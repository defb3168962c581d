package node

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/stages/upload"
)

// damageReport is the response to GET /damage.
type damageReport struct {
	Cluster    string              `json:"cluster_id"`
	Shards     []offlineShard      `json:"shards"`     // of the metadata, by number
	Partitions []troubledPartition `json:"partitions"` // by topic and number; at most maxTroubled
	More       int                 `json:"more"`       // lines left out
}

type offlineShard struct {
	Shard int    `json:"shard"`
	Why   string `json:"why"`
}

// troubledPartition refuses records, has no leader, or has records that readers found missing
// or damaged. It has one line for each of these.
type troubledPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Why       string  `json:"why"`
	FoundBy   foundBy `json:"found_by"`
}

// foundBy says who found the damage, and so which log messages have more about it.
type foundBy string

const (
	byStart  foundBy = "start"
	byUpload foundBy = "upload"
	byReader foundBy = "reader"
)

// maxTroubled limits the response.
const maxTroubled = 1000

func (a *admin) damageReport(w http.ResponseWriter, _ *http.Request) { reply(w, a.damage()) }

// damageReport returns what is currently damaged or offline.
func (n *node) damageReport() damageReport {
	view, offline := n.cluster.View(), n.cluster.Offline()
	r := damageReport{Cluster: view.ClusterID, Shards: []offlineShard{}, Partitions: []troubledPartition{}}
	for _, shard := range n.offlineShards() {
		r.Shards = append(r.Shards, offlineShard{shard, offline[shard].Error()})
	}
	for _, t := range view.Topics() {
		for i, p := range t.Partitions {
			if !p.Offline {
				continue
			}
			why := "it was lost with its metadata shard; delete and recreate the topic once its other partitions are no longer needed"
			if n.cluster.PartitionOffline(topic.Partition{Topic: t.ID, Index: int32(i)}) != nil {
				why = fmt.Sprintf("its metadata shard %d is offline", n.cluster.ShardOf(topic.Partition{Topic: t.ID, Index: int32(i)}))
			}
			r.Partitions = append(r.Partitions, troubledPartition{t.Name, int32(i), why, byStart})
		}
	}
	n.storage.parts.table.All(func(s *partition.State) bool {
		if err := s.Refused(); err != nil && !s.Deleted() {
			found := byStart
			if errors.Is(err, upload.ErrQuarantined) {
				found = byUpload
			}
			r.Partitions = append(r.Partitions, troubledPartition{nameOf(view, s.ID.Topic), s.ID.Index, n.storage.why(s, err), found})
		}
		return true
	})
	for _, f := range n.storage.tracker.Found() {
		for _, x := range f.Records {
			r.Partitions = append(r.Partitions, troubledPartition{x.Topic, x.Partition, fmt.Sprintf("offsets %d to %d cannot be read, %s: %v", x.Base, x.End-1, f.Reason, f.Err), byReader})
		}
	}
	slices.SortStableFunc(r.Partitions, func(a, b troubledPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	if over := len(r.Partitions) - maxTroubled; over > 0 {
		r.Partitions, r.More = r.Partitions[:maxTroubled], over
	}
	return r
}

// why returns the reason why a partition refuses records.
func (s *storage) why(p *partition.State, err error) string {
	if d, ok := s.damaged[p.ID]; ok && p.Lost() != nil {
		return fmt.Sprintf("it ends at offset %d: %s", d.at, d.what)
	}
	return err.Error()
}
