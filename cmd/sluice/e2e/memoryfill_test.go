package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/memory"
)

// memoryPeaks holds the largest value seen on each line of a broker's memory map.
type memoryPeaks struct {
	mu    sync.Mutex
	peaks map[string]int64
	over  []string // lines seen above their limits
}

// watchMemory polls the memory map until the test ends.
func watchMemory(t *testing.T, b *broker) *memoryPeaks {
	m := &memoryPeaks{peaks: map[string]int64{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			m.look(ctx, b.admin)
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	return m
}

func (m *memoryPeaks) look(ctx context.Context, admin string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/memory", nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var lines []struct {
		Use   string
		Bytes int64
		Limit int64 `json:"limit_bytes"`
	}
	if json.NewDecoder(resp.Body).Decode(&lines) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines {
		m.peaks[l.Use] = max(m.peaks[l.Use], l.Bytes)
		if l.Bytes > l.Limit {
			m.over = append(m.over, fmt.Sprintf("%s has %d bytes of %d", l.Use, l.Bytes, l.Limit))
		}
	}
}

func (m *memoryPeaks) of(u memory.Use) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peaks[u.Name]
}

// Clients fill each use of memory in the map through the listeners, and none ever exceeds its
// limit.
func TestEveryLineOfTheMemoryMapIsKept(t *testing.T) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
max_request_bytes = 1000000
max_control_request_bytes = 262144
[wal]
segment_size_bytes = 4194304
capacity_bytes = 67108864
upload_size_bytes = 4194304
[memory]
request_budget_bytes = 8388608
response_budget_bytes = 4194304
wal_buffer_bytes = 4194304
tail_index_bytes = 4194304
[cache]
write_cache_size_bytes = 4194304
read_cache_size_bytes = 4194304
[fetch]
max_bytes = 1048576
max_session_bytes = 1048576
[groups]
initial_rebalance_delay_ms = 0
max_metadata_bytes = 1048576
max_group_bytes = 262144
[compaction]
check_interval_ms = 100
memory_bytes = 1048576
[requests]
max_partitions = 2000
[admin]
listen = %q
`, dir, addr, admin), admin)
	b.dir, b.addr = dir, addr
	b.must("", "topic", "create", "fill", "--partitions", "4", "--transport", "tcp")
	b.must("", "topic", "create", "keys", "--transport", "tcp", "--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0.01")
	m := watchMemory(t, b)
	for _, line := range []struct {
		use  memory.Use
		want int64 // at least this many bytes
		fill func(*testing.T, *broker)
	}{
		{memory.WriteCache, 3 << 20, fillLog},
		{memory.WALBuffers, 1 << 20, fillLog},
		{memory.Uploads, 1 << 20, fillLog},
		{memory.TailIndex, 1000, fillLog},
		{memory.ReadCache, 1 << 20, fillReadCache},
		{memory.FetchSessions, 600 << 10, fillSessions},
		{memory.Groups, 800 << 10, fillGroups},
		{memory.Compaction, 150 << 10, fillKeys},
		{memory.Answers, 1 << 20, fillAnswers},
		{memory.Requests, 2 << 20, fillRequests},
	} {
		if m.of(line.use) < line.want {
			line.fill(t, b)
		}
		until(t, b, line.use.Name+" is filled", 30*time.Second, func() bool { return m.of(line.use) >= line.want })
		t.Logf("%s: %d bytes", line.use.Name, m.of(line.use))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.over) > 0 {
		t.Errorf("%d times a line was above its limit: %s", len(m.over), strings.Join(m.over[:min(5, len(m.over))], "; "))
	}
	if len(m.peaks) != len(memory.Uses()) {
		t.Errorf("%d lines of %d were seen", len(m.peaks), len(memory.Uses()))
	}
}

// fillLog produces at full speed for 1.5 s.
func fillLog(t *testing.T, b *broker) {
	t.Helper()
	var wires []*wire
	for i := range 4 {
		wires = append(wires, b.dial(produceFrame("fill", i, 1, randomBatch(t, 500<<10))))
	}
	flatOut(t, wires, 4, 1500*time.Millisecond)
}

func fillReadCache(t *testing.T, b *broker) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ConsumeTopics("fill"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for n := 0; n < 16<<20; {
		f := c.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) { n += len(r.Value) })
	}
}

// fetchFrame encodes a Fetch request for the first partitions of a topic.
func fetchFrame(topic string, partitions int, epoch int32) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, 0, 1, 1<<20, epoch
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic = topic
	for i := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch = int32(i), 1<<20, -1
		ft.Partitions = append(ft.Partitions, p)
	}
	req.Topics = append(req.Topics, ft)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("fill")).AppendRequest(nil, req, 0)
}

// fillSessions creates more fetch sessions than there is room for.
func fillSessions(t *testing.T, b *broker) {
	t.Helper()
	for range 8 {
		w := b.dial(fetchFrame("fill", 1000, 0))
		if err := w.send(); err != nil {
			t.Fatal(err)
		}
		var size [4]byte
		if _, err := w.conn.Read(size[:]); err != nil { // the broker responds
			t.Fatal(err)
		}
	}
}

// fillGroups joins members with large metadata to many groups.
func fillGroups(t *testing.T, b *broker) {
	t.Helper()
	for i := range 10 {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 3, fmt.Sprintf("fill-%d", i), 60_000, 60_000
		req.ProtocolType = "consumer"
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = "range", make([]byte, 200<<10)
		req.Protocols = append(req.Protocols, p)
		w := b.dial(kmsg.NewRequestFormatter(kmsg.FormatterClientID("fill")).AppendRequest(nil, req, 0))
		if err := w.send(); err != nil {
			t.Fatal(err)
		}
	}
}

// fillKeys produces more keys than a compaction's index has room for.
func fillKeys(t *testing.T, b *broker) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.DefaultProduceTopic("keys"), kgo.ProducerBatchMaxBytes(500_000))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 120_000 {
		c.Produce(t.Context(), kgo.KeySliceRecord(fmt.Appendf(nil, "key %d", i), make([]byte, 100)), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	fillLog(t, b) // so that the keys are uploaded
}

// fillAnswers sends Fetch requests and reads no response.
func fillAnswers(t *testing.T, b *broker) {
	t.Helper()
	for range 16 {
		w := b.dial(fetchFrame("fill", 4, -1))
		for range 16 {
			if err := w.send(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fillRequests sends requests without their last tenth.
func fillRequests(t *testing.T, b *broker) {
	t.Helper()
	frame := produceFrame("fill", 0, 1, randomBatch(t, 900<<10))
	for range 16 {
		w := b.dial(frame)
		go func() { // blocks if the broker stops reading
			_, _ = w.conn.Write(frame[:len(frame)*9/10])
		}()
	}
}
