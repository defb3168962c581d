package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// stuck is a cluster in which nothing completes until release is closed: the WAL is full,
// storage and the group coordinator do not answer, and the only slot is taken.
type stuck struct {
	*cluster
	release chan struct{}
}

func (s *stuck) Append(_ context.Context, _ pipeline.Holder, _ []flow.Append, done func(error)) {
	<-s.release
	done(nil)
}

func (s *stuck) Fetch(ctx context.Context, who pipeline.Holder, req *kmsg.FetchRequest, reply func(net.Buffers, func())) bool {
	<-s.release
	return s.cluster.Fetch(ctx, who, req, reply)
}

func (s *stuck) ByTime(context.Context, *partition.State, int64) (TimedOffset, bool, error) {
	<-s.release
	return TimedOffset{}, false, nil
}

func (s *stuck) Serve(_ context.Context, _ GroupClient, _ int16, req kmsg.Request, reply func(kmsg.Response)) {
	<-s.release
	reply(req.ResponseKind())
}

// stuckServer returns a server with one slot whose handlers wait for release; entered receives
// the key of each request that reaches its handler.
func stuckServer(t *testing.T) (s *Server, c *stuck, entered chan int16) {
	t.Helper()
	c = &stuck{newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics, cfg.Changes = true, 1 }), make(chan struct{})}
	deps := c.deps
	deps.Appender, deps.Fetcher, deps.Times, deps.Groups = c, c, c, c
	h, err := NewHandlers(c.cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	entered = make(chan int16, 16)
	apis := h.Table()
	for i := range apis {
		next := apis[i].Handler
		apis[i].Handler = handlerOf(func(ctx context.Context, r *Request, reply func(Response)) {
			entered <- r.Key
			next.Serve(ctx, r, reply)
		})
	}
	s, err = NewServer(DefaultServerConfig(), nobody, apis, &ledger{pipeline.NewBudget(256 << 20)}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s.places = pipeline.NewFairLimiter(1, heavyWork)
	for _, pool := range []*pool{h.changes, h.searches} {
		pool.run(context.Background(), pipeline.Holder{}, func() { <-c.release })
	}
	t.Cleanup(func() {
		c.mu.Lock()
		c.failing = errOutside // faster than creating 8,000 topics
		c.mu.Unlock()
		close(c.release)
		_ = s.Shutdown(context.Background())
		h.Close()
	})
	return s, c, entered
}

// A large request that waits for something else gives up its slot, so that requests that only
// need CPU time can use it.
func TestWhatWaitsHoldsNoPlace(t *testing.T) {
	const many = 8_000
	for name, req := range largeRequests(t, many) {
		t.Run(name, func(t *testing.T) {
			s, c, entered := stuckServer(t)
			c.topic("known", 1)
			var conns atomic.Uint64
			client := func() *wire {
				w := &wire{t: t, server: s, over: make(chan error, 1)}
				w.connectAs(ConnInfo{ID: conns.Add(1), Transport: "tcp"})
				t.Cleanup(func() { w.nc.Close() })
				return w
			}
			client().send(req, 1)
			select {
			case <-entered:
			case <-time.After(20 * time.Second):
				t.Fatal("the request did not reach its handler")
			}
			witness := client()
			_ = witness.nc.SetDeadline(time.Now().Add(10 * time.Second))
			m := kmsg.NewPtrMetadataRequest()
			m.SetVersion(9)
			for i := range many {
				m.Topics = append(m.Topics, kmsg.MetadataRequestTopic{Topic: ptr(fmt.Sprint("unknown-", i))})
			}
			witness.send(m, 2)
			if id, _ := witness.receive(); id != 2 {
				t.Errorf("got the response to request %d", id)
			}
		})
	}
}

func largeRequests(t *testing.T, many int) map[string]kmsg.Request {
	parts := make([]int32, many)
	produce := kmsg.NewPtrProduceRequest()
	produce.SetVersion(9)
	produce.Acks, produce.Topics = 1, []kmsg.ProduceRequestTopic{{Topic: "known"}}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SetVersion(12)
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "known"}}
	list := kmsg.NewPtrListOffsetsRequest()
	list.SetVersion(7)
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "known"}}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.SetVersion(7)
	commit.Group, commit.Topics = "group", []kmsg.OffsetCommitRequestTopic{{Topic: "known"}}
	meta := kmsg.NewPtrMetadataRequest()
	meta.SetVersion(9)
	meta.AllowAutoTopicCreation = true
	create := kmsg.NewPtrCreateTopicsRequest()
	create.SetVersion(5)
	bytes := batch(t, func(b *record.Builder) {})
	for i := range parts {
		p := kmsg.NewProduceRequestTopicPartition()
		if p.Partition = int32(i); i == 0 {
			p.Records = bytes
		}
		produce.Topics[0].Partitions = append(produce.Topics[0].Partitions, p)
		f := kmsg.NewFetchRequestTopicPartition()
		f.Partition = int32(i)
		fetch.Topics[0].Partitions = append(fetch.Topics[0].Partitions, f)
		l := kmsg.NewListOffsetsRequestTopicPartition()
		l.Partition, l.Timestamp = int32(i), 1
		list.Topics[0].Partitions = append(list.Topics[0].Partitions, l)
		o := kmsg.NewOffsetCommitRequestTopicPartition()
		o.Partition = int32(i)
		commit.Topics[0].Partitions = append(commit.Topics[0].Partitions, o)
		meta.Topics = append(meta.Topics, kmsg.MetadataRequestTopic{Topic: ptr(fmt.Sprint("new-", i))})
		n := kmsg.NewCreateTopicsRequestTopic()
		n.Topic, n.NumPartitions, n.ReplicationFactor = fmt.Sprint("new-", i), 1, 1
		create.Topics = append(create.Topics, n)
	}
	return map[string]kmsg.Request{"Produce": produce, "Fetch": fetch, "ListOffsets": list, "OffsetCommit": commit,
		"Metadata": meta, "CreateTopics": create}
}
