package admit_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/admit"
)

// usage records what the lanes behind admit received.
type usage struct {
	mu      sync.Mutex
	writes  []int                   // number of writes by lane
	laneOf  map[topic.Partition]int // lane that last received a partition
	strayed int                     // appends that reached a different lane than before
}

func (u *usage) Run(ctx context.Context, in *pipeline.In[*flow.Write]) error {
	for p := range in.All(ctx) {
		u.mu.Lock()
		u.writes[in.Lane()]++
		for _, a := range p.Body.Appends {
			if lane, ok := u.laneOf[a.Partition]; ok && lane != in.Lane() {
				u.strayed++
			}
			u.laneOf[a.Partition] = in.Lane()
		}
		u.mu.Unlock()
		p.Settle(nil)
	}
	return nil
}

// lanesUsed sends batches for 256 partitions through the given number of lanes, first
// in separate requests, then all in one.
func lanesUsed(t *testing.T, lanes, partitionsPerTopic int) *usage {
	t.Helper()
	u := &usage{writes: make([]int, lanes), laneOf: make(map[topic.Partition]int)}
	s := admit.New(lanes, clock.NewManual(noon), prometheus.NewRegistry())
	g := pipeline.New("test")
	pipeline.Into(pipeline.From(g, "admit", s), "sequence", u, pipeline.Lanes(lanes, admit.LaneKey))
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- g.Run(ctx, time.Minute) }()
	<-g.Ready()
	b := batch(t, nil)
	var all []flow.Append
	id := topic.NewID()
	for i := range 256 {
		if i%partitionsPerTopic == 0 {
			id = topic.NewID()
		}
		st := partition.NewState(topic.Partition{Topic: id, Index: int32(i % partitionsPerTopic)}, 0, 0, 0)
		a := flow.Append{Partition: st.ID, State: st, Batch: b}
		appendAll(t, s, []flow.Append{a})
		all = append(all, a)
	}
	appendAll(t, s, all)
	stop()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	return u
}

func TestEveryLaneIsUsed(t *testing.T) {
	for lanes := 1; lanes <= 16; lanes++ {
		for _, perTopic := range []int{1, 16, 256} {
			u := lanesUsed(t, lanes, perTopic)
			if u.strayed > 0 {
				t.Errorf("%d lanes: %d batches reached a different lane than their partition's", lanes, u.strayed)
			}
			for lane, n := range u.writes {
				if n < 2 {
					t.Errorf("%d lanes, %d partitions a topic: lane %d got %d writes of %v", lanes, perTopic, lane, n, u.writes)
				}
			}
		}
	}
}
