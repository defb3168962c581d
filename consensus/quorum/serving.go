package quorum

import (
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
)

// ClusterID returns the id that the cluster got at its first start.
func (q *Quorum) ClusterID() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.clusterID
}

// Led reports whether this controller knows the present leader of a shard.
func (q *Quorum) Led(shard int) bool {
	_, _, known, err := q.host.GetLeaderID(raftShard(shard))
	return err == nil && known
}

// Leads reports whether this controller leads a shard, as far as it knows.
func (q *Quorum) Leads(shard int) bool {
	leader, _, known, err := q.host.GetLeaderID(raftShard(shard))
	return err == nil && known && leader == q.ids.replica(shard)
}

// Brokers returns the registered brokers as this controller's replica of shard 0 has them; they are
// not to be modified.
func (q *Quorum) Brokers() ([]meta.Broker, error) {
	if !q.enter() {
		return nil, fmt.Errorf("%w: this node is closed", meta.ErrUnavailable)
	}
	defer q.calls.Done()
	v, err := q.host.StaleRead(raftShard(0), func(s state) any { return s.(root).Brokers() })
	if err != nil {
		return nil, fmt.Errorf("%w: shard 0: %w", meta.ErrUnavailable, err)
	}
	return v.([]meta.Broker), nil
}
