//go:build stores

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// faults is a proxy between a broker and an S3 server that delays or fails requests.
type faults struct {
	pause  atomic.Int64 // delay of each request, in nanoseconds
	status atomic.Int64 // if not 0, the HTTP status of responses to GET and HEAD
	code   string       // S3 error code to go with status
	held   atomic.Int64 // requests being delayed
	puts   atomic.Int64 // those of them that are PUT or POST
}

// between starts the proxy and returns the URL of the store behind it.
func (f *faults) between(t *testing.T, store string) string {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	target, err := url.Parse(q.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // the host is signed
	}}
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.hold(r, over) {
			return
		}
		if n := int(f.status.Load()); n != 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(n)
			_, _ = io.WriteString(w, "<Error><Code>"+f.code+"</Code><Message>a fault</Message></Error>")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		close(over)
		server.Close()
	})
	q.Set("endpoint", server.URL)
	u.RawQuery = q.Encode()
	return u.String()
}

// hold delays a request. It returns false if the client disconnects or the test ends meanwhile.
func (f *faults) hold(r *http.Request, over <-chan struct{}) bool {
	d := time.Duration(f.pause.Load())
	if d <= 0 {
		return true
	}
	counts := []*atomic.Int64{&f.held}
	if r.Method == http.MethodPut || r.Method == http.MethodPost {
		counts = append(counts, &f.puts)
	}
	for _, n := range counts {
		n.Add(1)
		defer n.Add(-1)
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
	case <-over: // a server does not notice a disconnect before it has read the body
	}
	return false
}

// behind starts a broker whose store is behind f.
func (f *faults) behind(t *testing.T) *broker {
	t.Helper()
	_, store := startS3(t)
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[object_storage]
url = %q
[compaction]
paused = true
[admin]
listen = %q
`, dir, addr, addr, f.between(t, store), admin)
	b := role(t, "broker", text, admin)
	b.dir, b.addr, b.text = dir, addr, text
	return b
}

// history creates a topic, produces n records of 1 KiB to it and waits until they are uploaded.
func (b *broker) history(topic string, partitions, n int) {
	b.t.Helper()
	b.must("", "topic", "create", topic, "--partitions", fmt.Sprint(partitions))
	b.moreHistory(topic, n)
}

// moreHistory is history for an existing topic.
func (b *broker) moreHistory(topic string, n int) {
	b.t.Helper()
	cl := b.client(kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for i := range n {
		value := make([]byte, 1<<10)
		copy(value, fmt.Sprintf("%d|", i))
		cl.Produce(deadline(b.t), &kgo.Record{Topic: topic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.t.Error(err)
			}
		})
	}
	if err := cl.Flush(deadline(b.t)); err != nil {
		b.t.Fatal(err)
	}
	b.hurry()
}

// slowFor returns the delay of each request to the store, the size of the topic, and the time allowed to
// read it. SLUICE_SLOW_STORE sets the delay and makes the topic larger.
func slowFor(t *testing.T) (pause time.Duration, partitions, records int, within time.Duration) {
	s := os.Getenv("SLUICE_SLOW_STORE")
	if s == "" {
		return time.Second, 24, 16_000, time.Minute
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SLUICE_SLOW_STORE: %v", err)
	}
	return d, 100, 45_000, 75 * time.Second
}

// A consumer makes progress even if each request to the store takes longer than a fetch waits. Another
// client measures the latency at the tail meanwhile.
func TestConsumersGetOnWithASlowStoreInS3(t *testing.T) {
	pause, partitions, records, within := slowFor(t)
	f := &faults{}
	b := f.behind(t)
	b.history("t", partitions, records)
	b.must("", "topic", "create", "tail")
	f.pause.Store(int64(pause))
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	slowest := b.tailBeside(ctx, "tail")
	began, got := time.Now(), 0
	cl := b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond))
	for got < records && ctx.Err() == nil {
		fs := cl.PollFetches(ctx)
		fs.EachError(func(_ string, p int32, err error) {
			if ctx.Err() == nil {
				t.Errorf("partition %d: %v", p, err)
			}
		})
		got += fs.NumRecords()
	}
	took := time.Since(began)
	cancel()
	t.Logf("a store of %s a request: %d of %d records in %s; produce to consume at the tail %s at most", pause, got, records, took.Round(100*time.Millisecond), <-slowest)
	if got != records {
		t.Errorf("%d of %d records in %s", got, records, took)
	}
	if kcat, err := exec.LookPath("kcat"); err == nil && os.Getenv("SLUICE_SLOW_STORE") != "" {
		b.kcat(t, kcat, within)
	}
}

// kcat reads topic t with librdkafka's defaults and logs how long that takes.
func (b *broker) kcat(t *testing.T, binary string, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	began := time.Now()
	out, _ := exec.CommandContext(ctx, binary, "-b", b.addr, "-C", "-q", "-t", "t", "-o", "beginning", "-e", "-f", "%o\n").Output()
	t.Logf("kcat: %d records in %s", strings.Count(string(out), "\n"), time.Since(began).Round(100*time.Millisecond))
}

// tailBeside produces and consumes one record after another until ctx ends, then sends the latency of
// the slowest one.
func (b *broker) tailBeside(ctx context.Context, topic string) <-chan time.Duration {
	b.t.Helper()
	slowest := make(chan time.Duration, 1)
	cl := b.client(kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	go func() {
		var most time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if err := cl.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
				break
			}
			for n := 0; n == 0 && ctx.Err() == nil; {
				n = cl.PollFetches(ctx).NumRecords()
			}
			if ctx.Err() == nil {
				most = max(most, time.Since(began))
			}
		}
		slowest <- most
	}()
	return slowest
}

// The store answers reads with 403, 500 or 503. Nothing is lost, so clients get retriable errors for any
// request and for as long as this lasts, and continue once the store recovers.
func TestAStoreThatRefusesReadsInS3(t *testing.T) {
	for status, code := range map[int64]string{403: "AccessDenied", 503: "SlowDown", 500: "InternalError"} {
		t.Run(code, func(t *testing.T) {
			f := &faults{code: code}
			b := f.behind(t)
			b.t = t
			b.history("t", 8, 1000)
			f.status.Store(status)
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			cl := b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepRetryableFetchErrors(),
				kgo.FetchMaxWait(500*time.Millisecond))
			for ctx.Err() == nil {
				cl.PollFetches(ctx).EachError(func(_ string, _ int32, err error) {
					if !errors.Is(err, kerr.KafkaStorageError) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("a consumer was told %v", err)
					}
				})
			}
			cancel()
			if err := b.offsetAt("t", 1); !errors.Is(err, kerr.KafkaStorageError) && !errors.Is(err, kerr.RequestTimedOut) {
				t.Errorf("a search by time was told %v", err)
			}
			f.status.Store(0)
			consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 1000)
			if n := b.metric("sluice_unreadable_locations"); n != 0 {
				t.Errorf("%v places are said to be lost", n)
			}
			if n := strings.Count(b.log.String(), "reads; clients are told to try again"); n > 1 {
				t.Errorf("%d lines in the log", n)
			}
		})
	}
}
