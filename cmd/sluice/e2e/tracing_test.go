package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// sink receives spans over OTLP.
type sink struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*trace.Span
}

func (s *sink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range req.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			s.spans = append(s.spans, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// count returns the number of spans by name, and of reads by source.
func (s *sink) count() (spans, sources map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spans, sources = map[string]int{}, map[string]int{}
	for _, span := range s.spans {
		spans[span.Name]++
		for _, e := range span.Events {
			for _, a := range e.Attributes {
				if a.Key == "sluice.source" {
					sources[a.Value.GetStringValue()]++
				}
			}
		}
	}
	return spans, sources
}

func newSink(t *testing.T) (*sink, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &sink{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	over := make(chan error, 1)
	go func() { over <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

// The broker's spans name the tier that served a read. This test reads from all four.
func TestSpansSayWhereReadsWereServed(t *testing.T) {
	s, endpoint := newSink(t)
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[tracing]
otlp_endpoint = %q
sample_ratio = 1
[admin]
listen = %q
`, dir, addr, endpoint, admin)
	begin := func(flags ...string) *broker {
		b := role(t, "broker", text, admin, flags...)
		b.dir, b.addr = dir, addr
		return b
	}
	read := func(b *broker) {
		t.Helper()
		cl := b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		defer cl.Close()
		consume(t, cl, 10)
	}
	b := begin()
	b.createTopic("t", 1)
	for i := range 10 {
		if err := b.client(kgo.DefaultProduceTopic("t")).ProduceSync(deadline(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	read(b)  // write cache
	b.stop() // flushes the last spans
	b = begin()
	read(b) // WAL
	b.hurry()
	b.stop()
	if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
		t.Fatal(err)
	}
	b = begin("--accept-lost-wal")
	read(b) // object
	read(b) // read cache
	b.stop()
	var spans, sources map[string]int
	within(t, 10*time.Second, "spans of all tiers", func() bool {
		spans, sources = s.count()
		return sources["object"] > 0 && sources["read_cache"] > 0
	})
	for _, source := range []string{"write_cache", "wal", "object", "read_cache"} {
		if sources[source] == 0 {
			t.Errorf("no read from %s in the spans: %v", source, sources)
		}
	}
	if spans["Produce"] != 10 || spans["Fetch"] < 4 || len(spans) != 2 {
		t.Errorf("spans %v; want 10 of Produce, and Fetch", spans)
	}
}
