package kafka

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// errOutside is an error that the handlers do not know.
var errOutside = fault.Refused(kerr.InvalidTimestamp, "outside")

// cluster is an in-memory implementation of everything the handlers call, with its handlers.
type cluster struct {
	*Handlers
	t testing.TB

	mu       sync.Mutex
	view     *meta.View
	table    partition.Table
	failing  error // returned by the next changes
	proposed int   // number of changes
	ids      int64

	appended [][]flow.Append
	settle   func(appends []flow.Append) error // decides the outcome of appends; nil: all are written
	byTime   func(s *partition.State, ms int64) (TimedOffset, bool, error)
	groups   []kmsg.Request
	quorum   Quorum
	known    map[topic.Partition]*idempotence.Producers
	level    slog.LevelVar
}

// newCluster has brokers 1 (under test, the controller) and 2.
func newCluster(t testing.TB, change func(*APIConfig)) *cluster {
	c := &cluster{t: t, ids: 1000}
	c.view = meta.NewView(1, "test-cluster", 1, []meta.Broker{{ID: 1, Host: "one", Port: 9092}, {ID: 2, Host: "two", Port: 9093, Rack: "r2"}}, nil)
	cfg := DefaultAPIConfig()
	if change != nil {
		change(&cfg)
	}
	h, err := NewHandlers(cfg, Deps{Node: 1, Lookup: lookup.New(c, &c.table), Topics: c, Appender: c, Fetcher: c, Times: c,
		ProducerIDs: c, Groups: c, LogDirs: c, Producers: c, Quorum: func() Quorum { return c.quorum }, Log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: &c.level})), LogLevel: &c.level})
	if err != nil {
		t.Fatal(err)
	}
	c.Handlers = h
	t.Cleanup(h.Close)
	return c
}

func (c *cluster) View() *meta.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// change publishes a View with topics changed by f.
func (c *cluster) change(f func(map[topic.ID]*meta.Topic) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proposed++
	if c.failing != nil {
		return c.failing
	}
	byID := make(map[topic.ID]*meta.Topic)
	for _, t := range c.view.Topics() {
		byID[t.ID] = t
	}
	if err := f(byID); err != nil {
		return err
	}
	c.view = meta.NewView(c.view.Version+1, c.view.ClusterID, c.view.Controller, c.view.Brokers, valuesOf(byID))
	return nil
}

func valuesOf(m map[topic.ID]*meta.Topic) []*meta.Topic {
	var out []*meta.Topic
	for _, t := range m {
		out = append(out, t)
	}
	return out
}

func (c *cluster) CreateTopic(_ context.Context, s meta.TopicSpec) (*meta.Topic, error) {
	t := &meta.Topic{Name: s.Name, ID: s.ID, Configs: s.Configs}
	err := c.change(func(all map[topic.ID]*meta.Topic) error {
		for _, other := range all {
			if other.Name == s.Name {
				return meta.ErrTopicExists
			}
		}
		c.lead(t, s.Partitions)
		all[t.ID] = t
		return nil
	})
	return t, err
}

// lead makes broker 1 the leader of more partitions, at epoch 3.
func (c *cluster) lead(t *meta.Topic, upTo int32) {
	for i := int32(len(t.Partitions)); i < upTo; i++ {
		t.Partitions = append(t.Partitions, &meta.Partition{Leader: 1, Epoch: 3, Replicas: []int32{1}, ISR: []int32{1}})
		c.table.Put(partition.NewState(topic.Partition{Topic: t.ID, Index: i}, 3, 0, 0))
	}
}

func (c *cluster) DeleteTopic(_ context.Context, id topic.ID) error {
	return c.change(func(all map[topic.ID]*meta.Topic) error { delete(all, id); return nil })
}

func (c *cluster) GrowTopic(_ context.Context, id topic.ID, partitions int32) error {
	return c.change(func(all map[topic.ID]*meta.Topic) error {
		grown := *all[id]
		c.lead(&grown, partitions)
		all[id] = &grown
		return nil
	})
}

func (c *cluster) AlterTopic(_ context.Context, id topic.ID, set map[string]string, del []string) error {
	return c.change(func(all map[topic.ID]*meta.Topic) error {
		altered := *all[id]
		altered.Configs = maps.Clone(altered.Configs)
		if altered.Configs == nil {
			altered.Configs = make(map[string]string)
		}
		maps.Copy(altered.Configs, set)
		for _, name := range del {
			delete(altered.Configs, name)
		}
		all[id] = &altered
		return nil
	})
}

func (c *cluster) SetLogStart(context.Context, topic.Partition, int64) error {
	return c.change(func(map[topic.ID]*meta.Topic) error { return nil })
}

func (c *cluster) AllocateProducerIDs(_ context.Context, n int32) (int64, error) {
	err := c.change(func(map[topic.ID]*meta.Topic) error { return nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.ids
	c.ids += int64(n)
	return first, err
}

func (c *cluster) Append(_ context.Context, _ pipeline.Holder, appends []flow.Append, done func(error)) {
	c.appended = append(c.appended, appends)
	if c.settle != nil {
		done(c.settle(appends))
		return
	}
	for i := range appends {
		appends[i].BaseOffset = int64(100 + i)
	}
	done(nil)
}

func (c *cluster) Fetch(_ context.Context, _ pipeline.Holder, req *kmsg.FetchRequest, reply func(net.Buffers, func())) bool {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	reply(net.Buffers{resp.AppendTo(nil)}, nil)
	return false
}

func (c *cluster) LogDirs() (wal, objects LogDir) {
	return LogDir{Name: "/wal", Total: 1000, Usable: 400}, LogDir{Name: "s3://bucket", Total: -1, Usable: -1}
}

func (c *cluster) WALBytes(p topic.Partition) int64 {
	s, ok := c.table.Loaded(p)
	if !ok {
		return 0
	}
	bytes, _ := s.Tail.Sum(0, math.MaxInt64)
	return bytes
}

func (c *cluster) ProducerCount(p topic.Partition) int {
	if ps := c.known[p]; ps != nil {
		return ps.Len()
	}
	return 0
}

func (c *cluster) ProducerStates(p topic.Partition) ([]idempotence.State, bool) {
	if ps := c.known[p]; ps != nil {
		return ps.States()
	}
	return nil, true
}

func (c *cluster) ByTime(_ context.Context, s *partition.State, ms int64) (TimedOffset, bool, error) {
	if c.byTime == nil {
		return TimedOffset{}, false, nil
	}
	return c.byTime(s, ms)
}

func (c *cluster) Serve(_ context.Context, who GroupClient, version int16, req kmsg.Request, reply func(kmsg.Response)) {
	c.groups = append(c.groups, req)
	reply(req.ResponseKind())
}

// topic creates a topic led by broker 1.
func (c *cluster) topic(name string, partitions int32) *meta.Topic {
	c.t.Helper()
	t, err := c.CreateTopic(context.Background(), meta.TopicSpec{Name: name, ID: topic.NewID(), Partitions: partitions})
	if err != nil {
		c.t.Fatal(err)
	}
	return t
}

func (c *cluster) state(t *meta.Topic, index int32) *partition.State {
	s, ok := c.table.Get(topic.Partition{Topic: t.ID, Index: index})
	if !ok {
		c.t.Fatalf("no state of %s/%d", t.Name, index)
	}
	return s
}

// call passes req, encoded and decoded, to its handler, and returns the response, encoded and
// decoded. It checks that there is exactly one response.
func call[R kmsg.Response](c *cluster, req kmsg.Request) R {
	c.t.Helper()
	r := c.serve(req)
	if r.Silent {
		c.t.Fatalf("%T: no answer; close: %v", req, r.Close)
	}
	raw := r.Body
	if r.Message != nil {
		raw = net.Buffers{r.Message.AppendTo(nil)}
	}
	if a := r.parts; a != nil {
		raw = net.Buffers{a.begin(nil)}
		for i := range a.rows {
			raw = append(raw, a.row(i, nil))
		}
		raw = append(raw, a.tail)
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(join(raw)); err != nil {
		c.t.Fatalf("%T v%d: the answer does not decode: %v", req, req.GetVersion(), err)
	}
	return resp.(R)
}

func join(parts net.Buffers) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func (c *cluster) serve(req kmsg.Request) Response {
	c.t.Helper()
	body := kmsg.RequestForKey(req.Key())
	body.SetVersion(req.GetVersion())
	if err := body.ReadFrom(req.AppendTo(nil)); err != nil {
		c.t.Fatalf("%T v%d does not decode: %v", req, req.GetVersion(), err)
	}
	for _, api := range c.Table() {
		if api.Key != req.Key() {
			continue
		}
		answers := make(chan Response, 2)
		api.Handler.Serve(c.t.Context(), &Request{Key: req.Key(), Version: req.GetVersion(), ClientID: "test", Body: body,
			Conn: ConnInfo{Remote: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 4711}}}, func(r Response) { answers <- r })
		select {
		case r := <-answers:
			return r
		case <-time.After(10 * time.Second):
			c.t.Fatalf("%T: no answer", req)
		}
	}
	c.t.Fatalf("no handler for key %d", req.Key())
	return Response{}
}

// wantCode fails the test unless got is the code of want; nil means none.
func wantCode(t testing.TB, what string, got int16, want *kerr.Error) {
	t.Helper()
	code := int16(0)
	if want != nil {
		code = want.Code
	}
	if got != code {
		t.Errorf("%s: got %v, want %v", what, kerr.ErrorForCode(got), kerr.ErrorForCode(code))
	}
}

// batch returns a record batch as a producer sends it.
func batch(t testing.TB, change func(*record.Builder)) record.Batch {
	t.Helper()
	b := record.NewBuilder().Add(1000, []byte("k"), []byte("v")).Add(2000, []byte("k"), []byte("w"))
	if change != nil {
		change(b)
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func ptr[T any](v T) *T { return &v }

type appenderFunc func(appends []flow.Append, done func(error))

func (f appenderFunc) Append(_ context.Context, _ pipeline.Holder, appends []flow.Append, done func(error)) {
	f(appends, done)
}
