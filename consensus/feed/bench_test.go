package feed_test

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/feed"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// BenchmarkHundredThousandPartitions measures a feed over loopback TCP with 100,000 partitions in the
// metadata: the start of a broker without anything, the memory of its metadata, and a change by it,
// until it is in its View.
func BenchmarkHundredThousandPartitions(b *testing.B) {
	address := benchedServer(b)
	first := joined(b, address)
	if _, err := first.RegisterBroker(b.Context(), meta.Broker{ID: 7, Host: "b", Port: 9092}); err != nil {
		b.Fatal(err)
	}
	var g sync.WaitGroup
	for worker := range 10 {
		g.Go(func() {
			for i := range 10 {
				spec := meta.TopicSpec{Name: fmt.Sprintf("t%d-%d", worker, i), Partitions: 1000, Replication: 1}
				if _, err := first.CreateTopic(b.Context(), spec); err != nil {
					b.Error(err)
				}
			}
		})
	}
	g.Wait()
	b.Run("start", func(b *testing.B) {
		for range b.N {
			before := heap()
			began := time.Now()
			c := joined(b, address)
			b.ReportMetric(float64(time.Since(began).Microseconds())/1e3, "ms/start")
			b.ReportMetric(float64(heap()-before)/1e6, "MB")
			if n := c.View().Size(); n != 100 {
				b.Fatalf("%d topics", n)
			}
		}
	})
	t, _ := first.View().TopicByName("t3-3")
	b.Run("change", func(b *testing.B) {
		for i := range b.N {
			id, at := meta.NewObjectID(), topic.Partition{Topic: t.ID, Index: int32(i % 1000)}
			if err := first.PrepareObject(b.Context(), id, []topic.Partition{at}, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// benchedServer is a controller with the default settings.
func benchedServer(b *testing.B) (address string) {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	q, err := quorum.Open(b.Context(), quorum.DefaultConfig(b.TempDir()), log, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	s, err := feed.NewServer(feed.ServerOptions{Config: feed.DefaultConfig(), ID: 1, Controller: q, Authority: nobody{}, Log: log, Metrics: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	b.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := q.Close(); err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

// joined is the metadata of a broker that has followed everything.
func joined(b *testing.B, address string) *consensus.Cluster {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	c, err := feed.NewClient(feed.ClientOptions{Config: feed.DefaultConfig(), Broker: 7, Controllers: []feed.Endpoint{{ID: 1, Address: address}},
		Log: log, Metrics: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	cfg := consensus.DefaultConfig("unused")
	if _, cfg.Shards, err = c.Cluster(b.Context()); err != nil {
		b.Fatal(err)
	}
	m, err := consensus.Join(b.Context(), cfg, c, log, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	return m
}
