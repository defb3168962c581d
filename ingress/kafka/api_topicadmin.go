package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/errgroup"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// topicAdmin checks and applies topic changes for the handlers of several APIs.
type topicAdmin struct {
	cfg      APIConfig
	node     int32
	lookup   *lookup.Lookup
	topics   TopicChanger
	log      *slog.Logger
	level    *slog.LevelVar // of log
	reserved *reservations
}

// atOnce is how many changes of one request are proposed concurrently; the metadata quorum
// batches them.
const atOnce = 16

// each calls f for 0 to n-1, atOnce at a time, and waits for all.
func each(n int, f func(i int)) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { f(i); return nil })
	}
	_ = g.Wait() // f reports errors itself
}

// replication is the replication factor of topics created without one.
func (a *topicAdmin) replication() int16 {
	return int16(min(int(a.cfg.Replication), max(1, len(a.lookup.View().Brokers))))
}

// planner checks the new partitions of one request against the limits per topic and cluster.
type planner struct {
	cfg  *APIConfig
	view *meta.View
	room int // partitions that the cluster of view may still get
	// alike maps the metric names of topics with '.' or '_' to their names; nil until a topic
	// is created.
	alike    map[string][]string
	reserved *reservations
}

// planner returns the planner of one request. End it when its changes were made or given up.
func (a *topicAdmin) planner() *planner {
	p := &planner{cfg: &a.cfg, reserved: a.reserved}
	a.reserved.begin(p)
	p.view, p.room = a.lookup.View(), int(a.cfg.ClusterPartitions)
	for _, t := range p.view.Topics() {
		p.room -= len(t.Partitions)
	}
	return p
}

func (p *planner) end() { p.reserved.end(p) }

// take reserves added partitions for a topic that grows to total.
func (p *planner) take(added, total int32) error {
	if total < 1 || total > p.cfg.TopicPartitions {
		return refuse(kerr.InvalidPartitions, fmt.Sprintf("a topic may have 1 to %d partitions, not %d", p.cfg.TopicPartitions, total))
	}
	if left := p.reserved.partitions(p, int(added), p.room); left < 0 {
		return refuse(kerr.PolicyViolation, fmt.Sprintf("the cluster has room for %d more partitions of %d; delete topics or raise the limit",
			max(0, left+int(added)), p.cfg.ClusterPartitions))
	}
	return nil
}

// create checks a new topic and reserves its partitions; nothing else changes.
func (p *planner) create(s *meta.TopicSpec) error {
	if err := topic.ValidateName(s.Name); err != nil {
		return err
	}
	if s.Name == topic.ClusterMetadata {
		return refuse(kerr.InvalidRequest, "the name is reserved: metadata is not a readable topic here")
	}
	if _, exists := p.view.TopicByName(s.Name); exists || topic.Reserved(s.Name) {
		return refuse(kerr.TopicAlreadyExists, fmt.Sprintf("topic %q already exists", s.Name))
	}
	if other := p.collides(s.Name); other != "" {
		return refuse(kerr.InvalidTopicException, fmt.Sprintf("topic %q differs from topic %q only by '.' and '_', which are the same in metric names", s.Name, other))
	}
	if n := len(p.view.Brokers); s.Replication < 1 || int(s.Replication) > n {
		return refuse(kerr.InvalidReplicationFactor, fmt.Sprintf("replication factor %d; use 1 to %d, the number of brokers, or -1", s.Replication, n))
	}
	configs, err := topic.NormalizeConfigs(s.Configs)
	if err != nil {
		return err
	}
	if n := p.cfg.MinInSyncReplicas; n > 1 && configs[topic.MinInsyncReplicas] == "" {
		if configs == nil {
			configs = make(map[string]string, 1)
		}
		configs[topic.MinInsyncReplicas] = strconv.Itoa(int(n))
	}
	s.Configs = configs
	return p.take(s.Partitions, s.Partitions)
}

// collides returns an existing topic whose metric name is the same, since '.' and '_' are the
// same there, or "". As in Kafka, topics of one request are not compared with each other.
func (p *planner) collides(name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	if p.alike == nil {
		p.alike = make(map[string][]string)
		for _, t := range p.view.Topics() {
			if strings.ContainsAny(t.Name, "._") {
				p.alike[inMetrics(t.Name)] = append(p.alike[inMetrics(t.Name)], t.Name)
			}
		}
	}
	if others := p.alike[inMetrics(name)]; len(others) > 0 {
		return others[0]
	}
	return p.reserved.name(p, name)
}

// createAll creates the topics that pass the checks and returns the outcome of each.
func (a *topicAdmin) createAll(ctx context.Context, specs []meta.TopicSpec) []error {
	errs := make([]error, len(specs))
	p := a.planner()
	defer p.end()
	for i := range specs {
		errs[i] = p.create(&specs[i])
	}
	each(len(specs), func(i int) {
		if errs[i] == nil {
			errs[i] = a.create(ctx, &specs[i])
		}
	})
	return errs
}

// create creates a checked topic and sets its id.
func (a *topicAdmin) create(ctx context.Context, s *meta.TopicSpec) error {
	s.ID = topic.NewID()
	t, err := a.topics.CreateTopic(ctx, *s)
	if err != nil {
		return err
	}
	s.ID = t.ID
	return nil
}

// placement checks a manual replica assignment. The cluster places partitions itself, so the
// only accepted assignment is the one that leaves no choice: every replica list contains all
// brokers.
func placement(view *meta.View, replicas []int32) error {
	seen := make(map[int32]bool, len(replicas))
	for _, r := range replicas {
		if seen[r] {
			return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("broker %d is listed twice for one partition", r))
		}
		seen[r] = true
	}
	for _, b := range view.Brokers {
		if !seen[b.ID] {
			return refuse(kerr.InvalidReplicaAssignment, "partitions are placed by the cluster; leave the assignment out")
		}
		delete(seen, b.ID)
	}
	for r := range seen {
		return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("broker %d is not registered", r))
	}
	return nil
}
