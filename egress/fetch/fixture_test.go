package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// errTorn is an error of the fake read pipeline; it is sent as KAFKA_STORAGE_ERROR.
var errTorn = fault.Lost(kerr.KafkaStorageError, "torn")

// broker is a server over an in-memory log.
type broker struct {
	*Server
	t     testing.TB
	view  atomic.Pointer[meta.View]
	table partition.Table

	mu      sync.Mutex
	log     map[topic.Partition][][]byte // batches of one offset each
	failing error                        // returned by the next reads
	slow    map[topic.Partition]bool     // reads that do not complete in time
	reads   int                          // partitions passed to the pipeline
	open    int                          // segments not yet released
}

func (b *broker) View() *meta.View { return b.view.Load() }

func newBroker(t testing.TB, change func(*Config)) *broker {
	cfg := DefaultConfig()
	cfg.BudgetBytes, cfg.WaitingBytes = 512<<20, 8<<20
	if change != nil {
		change(&cfg)
	}
	b := &broker{t: t, log: make(map[topic.Partition][][]byte)}
	b.view.Store(meta.NewView(1, "test", 1, nil, nil))
	s, err := New(cfg, Deps{Lookup: lookup.New(b, &b.table), Reader: b, Clock: clock.System{},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	b.Server = s
	return b
}

// topic creates a topic whose partitions this broker leads at epoch 1.
func (b *broker) topic(name string, partitions int) *meta.Topic {
	t := &meta.Topic{Name: name, ID: topic.NewID()}
	for i := range partitions {
		t.Partitions = append(t.Partitions, &meta.Partition{Leader: 1, Epoch: 1})
		b.table.Put(partition.NewState(topic.Partition{Topic: t.ID, Index: int32(i)}, 1, 0, 0))
	}
	b.publish(append(b.View().Topics(), t))
	return t
}

func (b *broker) publish(topics []*meta.Topic) {
	old := b.View()
	b.view.Store(meta.NewView(old.Version+1, "test", 1, []meta.Broker{{ID: 1, Host: "one", Port: 9092}, {ID: 2, Host: "two", Port: 9092, Rack: "r"}}, topics))
}

func (b *broker) state(t *meta.Topic, index int32) *partition.State {
	s, ok := b.table.Get(topic.Partition{Topic: t.ID, Index: index})
	if !ok {
		b.t.Fatalf("no state of %s/%d", t.Name, index)
	}
	return s
}

// append adds and publishes a batch of the given size with one offset.
func (b *broker) append(t *meta.Topic, index int32, size int) []byte {
	s := b.state(t, index)
	b.mu.Lock()
	base := int64(len(b.log[s.ID]))
	batch := bytes.Repeat([]byte{byte(base + 1)}, size)
	b.log[s.ID] = append(b.log[s.ID], batch)
	b.mu.Unlock()
	s.Tail.Append(partition.Entry{Base: base, Size: int32(size), Count: 1, Epoch: s.Epoch()})
	s.Publish(base + 1)
	return batch
}

// Submit is the fake read pipeline: it settles on another goroutine.
func (b *broker) Submit(_ context.Context, p pipeline.Parcel[*flow.Fetch]) error {
	go func() {
		b.mu.Lock()
		failed := b.failing
		left := p.Body.MaxBytes
		late := false
		for i, r := range p.Body.Reads {
			b.reads++
			if b.slow[r.State.ID] {
				late = true
				continue
			}
			left -= b.fill(r, left, i == 0)
		}
		b.mu.Unlock()
		if late && failed == nil && left == p.Body.MaxBytes {
			<-p.Body.Due
		}
		p.Settle(failed)
	}()
	return nil
}

func (b *broker) fill(r *flow.Read, left int, first bool) int {
	log, n := b.log[r.State.ID], 0
	for o := r.Offset; o < int64(len(log)); o++ {
		if n+len(log[o]) > min(left, r.MaxBytes) && !(first && n == 0) {
			break
		}
		b.open++
		r.Add(log[o], flow.FromWriteCache, func() { b.mu.Lock(); b.open--; b.mu.Unlock() })
		n += len(log[o])
	}
	return n
}

// at is one requested partition.
type at struct {
	t      *meta.Topic
	index  int32
	offset int64
	with   func(*kmsg.FetchRequestTopicPartition)
}

// request builds a fetch of at most 1 MiB that waits up to a second for one byte.
func request(version int16, session, epoch int32, parts ...at) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch = version, session, epoch
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 1000, 1, 1<<20
	for _, p := range parts {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.index, p.offset, 1<<20
		if p.with != nil {
			p.with(&part)
		}
		rt := kmsg.NewFetchRequestTopic()
		if version >= 13 {
			rt.TopicID = p.t.ID
		} else {
			rt.Topic = p.t.Name
		}
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != rt.Topic || req.Topics[n-1].TopicID != rt.TopicID {
			req.Topics = append(req.Topics, rt)
		}
		last := &req.Topics[len(req.Topics)-1]
		last.Partitions = append(last.Partitions, part)
	}
	return req
}

// fetch serves req, checks that the response re-encodes by kmsg to the same bytes, and releases
// it.
func (b *broker) fetch(req *kmsg.FetchRequest) *kmsg.FetchResponse {
	b.t.Helper()
	resp, release := b.fetchHeld(context.Background(), req)
	release()
	return resp
}

func (b *broker) fetchHeld(ctx context.Context, req *kmsg.FetchRequest) (*kmsg.FetchResponse, func()) {
	b.t.Helper()
	type reply struct {
		body    net.Buffers
		release func()
	}
	replies := make(chan reply, 1)
	b.Fetch(ctx, pipeline.Holder{Conn: 1}, req, func(body net.Buffers, release func()) { replies <- reply{body, release} })
	r := <-replies
	if r.release == nil {
		r.release = func() {}
	}
	if r.body == nil {
		return nil, r.release
	}
	return decode(b.t, req.Version, r.body), r.release
}

func decode(t testing.TB, version int16, body net.Buffers) *kmsg.FetchResponse {
	t.Helper()
	raw := bytes.Join(body, nil)
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	if err := resp.ReadFrom(raw); err != nil {
		t.Fatalf("v%d: the response does not decode: %v", version, err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, raw) {
		t.Fatalf("v%d: the response is\n%x\nkmsg writes\n%x", version, raw, again)
	}
	return resp
}

// only returns the single partition of a response.
func only(t testing.TB, resp *kmsg.FetchResponse) *kmsg.FetchResponseTopicPartition {
	t.Helper()
	if resp == nil || resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("want exactly one partition: %+v", resp)
	}
	return &resp.Topics[0].Partitions[0]
}

// told lists the partitions of a response as "topic/index:bytes", sorted.
func (b *broker) told(resp *kmsg.FetchResponse) []string {
	var out []string
	for _, t := range resp.Topics {
		name := t.Topic
		if found, ok := b.View().TopicByID(t.TopicID); ok {
			name = found.Name
		}
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s/%d:%d", name, p.Partition, len(p.RecordBatches)))
		}
	}
	slices.Sort(out)
	return out
}

// idle fails the test if the server still holds anything.
func (b *broker) idle() {
	b.t.Helper()
	if n := b.waiting.memory(); n != 0 || len(b.waiting.addrs) != 0 || len(b.waiting.conns) != 0 {
		b.t.Errorf("%d bytes of waiting requests leaked", n)
	}
	if n := b.watched.Load(); n != 0 {
		b.t.Errorf("%d partition watches leaked", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != 0 || b.budget.InUse() != 0 {
		b.t.Errorf("%d segments and %d bytes of budget leaked", b.open, b.budget.InUse())
	}
}
