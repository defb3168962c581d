package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/meta"
)

// Two requests at the same time do not both create topics whose names differ only by '.' and '_',
// whichever is the first to take its View, to check, and to end. One request may.
func TestNamesOfRequestsAtTheSameTime(t *testing.T) {
	c := newCluster(t, nil)
	create := func(p *planner, name string) error {
		return p.create(&meta.TopicSpec{Name: name, Partitions: 1, Replication: 1})
	}
	taken := func(what string, err error) {
		t.Helper()
		wantCode(t, what, c.deps.code(err), kerr.InvalidTopicException)
	}
	free := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	one, two := c.admin.planner(), c.admin.planner()
	free("the first", create(one, "a.b"))
	free("of the same request", create(one, "a_b"))
	taken("of another", create(two, "a_b"))
	free("another name", create(two, "a.c"))
	free("the same name, which the quorum decides on", create(two, "a.b"))
	c.topic("a.b", 1) // which the View of two lacks
	one.end()
	taken("after the first has ended", create(two, "a_b"))
	three := c.admin.planner()
	taken("with a new View", create(three, "a_b"))
	free("what was not created", create(three, "a.d"))
	three.end()
	taken("of a request that goes on", create(two, "a_d"))
	two.end()
	four := c.admin.planner()
	free("a name that nobody has", create(four, "a_d"))
	four.end()
	if n := len(c.admin.reserved.names) + len(c.admin.reserved.parts) + len(c.admin.reserved.begun); n != 0 {
		t.Errorf("%d reservations and requests are remembered", n)
	}
}

// Requests at the same time do not create more partitions together than the cluster may have,
// whichever is the first to take its View, to check, and to end.
func TestPartitionsOfRequestsAtTheSameTime(t *testing.T) {
	c := newCluster(t, nil)
	c.admin.cfg.ClusterPartitions, c.admin.cfg.TopicPartitions = 10, 10
	take := func(what string, p *planner, n int32, ok bool) {
		t.Helper()
		if err := p.take(n, n); (err == nil) != ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	one, two := c.admin.planner(), c.admin.planner()
	take("the first", one, 4, true)
	take("more of the same", one, 2, true)
	take("too many of another", two, 5, false)
	take("what is left", two, 3, true)
	c.topic("a", 6) // which the View of two lacks
	one.end()
	take("after the first has ended", two, 2, false)
	take("the last", two, 1, true)
	three := c.admin.planner()
	take("with a new View", three, 1, false)
	two.end() // it created nothing
	four := c.admin.planner()
	take("what the View says is left", four, 4, true)
	three.end()
	four.end()
	if n := len(c.admin.reserved.parts) + len(c.admin.reserved.begun); n != 0 {
		t.Errorf("%d reservations and requests are remembered", n)
	}
}
