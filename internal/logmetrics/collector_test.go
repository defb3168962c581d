package logmetrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

type cluster struct {
	view   *meta.View
	groups []*meta.Group
	table  partition.Table
	clock  *clock.Manual
}

func (c *cluster) View() *meta.View      { return c.view }
func (c *cluster) Groups() []*meta.Group { return c.groups }

// newCluster returns a cluster with topics t0, t1 and so on, with the given numbers of partitions, all
// led by broker 1.
func newCluster(partitions ...int) *cluster {
	c := &cluster{clock: clock.NewManual(time.Unix(1_700_000_000, 0))}
	var topics []*meta.Topic
	for i, n := range partitions {
		t := &meta.Topic{Name: fmt.Sprintf("t%d", i), ID: topic.NewID()}
		for range n {
			t.Partitions = append(t.Partitions, &meta.Partition{Leader: 1})
		}
		topics = append(topics, t)
	}
	c.view = meta.NewView(1, "c", 1, nil, topics)
	return c
}

func (c *cluster) id(name string, index int32) topic.Partition {
	t, _ := c.view.TopicByName(name)
	return topic.Partition{Topic: t.ID, Index: index}
}

// append appends records to a partition, with the current time, and makes them visible.
func (c *cluster) append(p topic.Partition, records int) {
	s := c.table.Put(partition.NewState(p, 0, 0, 0))
	end := s.HighWatermark()
	s.Tail.Append(partition.Entry{Base: end, Position: partition.Position(end * 10), MaxTimestamp: c.clock.Now().UnixMilli(), Size: int32(10 * records), Count: int32(records)})
	s.Publish(end + int64(records))
}

func (c *cluster) commit(group string, offsets map[topic.Partition]int64) {
	g := &meta.Group{Name: group, Offsets: make(map[topic.Partition]meta.CommittedOffset)}
	for p, o := range offsets {
		g.Offsets[p] = meta.CommittedOffset{Offset: o}
	}
	c.groups = append(c.groups, g)
}

func (c *cluster) collector(series int) *Collector {
	return New(Config{MaxSeries: series}, 1, c, &c.table, c.clock)
}

// scrape returns the values of a scrape by series, that is name and labels.
func scrape(t *testing.T, c *Collector) map[string]string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	out := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if i := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") {
			out[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	return out
}

func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for series, value := range want {
		if got[series] != value {
			t.Errorf("%s is %q, want %s", series, got[series], value)
		}
	}
}

func TestTrafficAndLag(t *testing.T) {
	c := newCluster(2)
	p, q := c.id("t0", 0), c.id("t0", 1)
	l := c.collector(100)
	c.append(p, 50)
	s, _ := c.table.Loaded(p)
	s.Recovered() // those records are from before the start
	c.commit("g", map[topic.Partition]int64{p: 50, q: 0})
	l.mark()
	expect(t, scrape(t, l), map[string]string{`sluice_group_lag_records{group="g",partition="0",topic="t0"}`: "0", `sluice_group_lag_seconds{group="g",partition="0",topic="t0"}`: "0",
		`sluice_topic_records_in_total{topic="t0"}`: "0", `sluice_topic_bytes_in_total{topic="t0"}`: "0", `sluice_partition_log_end_offset{partition="0",topic="t0"}`: "50"})
	for range 12 { // a minute without records
		c.clock.Advance(5 * time.Second)
		l.mark()
	}
	c.append(p, 100)
	s.Served(300)
	c.clock.Advance(5 * time.Second)
	l.mark()
	c.clock.Advance(20 * time.Second)
	expect(t, scrape(t, l), map[string]string{
		`sluice_topic_partitions{topic="t0"}`:                          "2",
		`sluice_topic_records_in_total{topic="t0"}`:                    "100",
		`sluice_topic_bytes_in_total{topic="t0"}`:                      "1000",
		`sluice_topic_bytes_out_total{topic="t0"}`:                     "300",
		`sluice_partition_log_end_offset{partition="0",topic="t0"}`:    "150",
		`sluice_partition_log_start_offset{partition="1",topic="t0"}`:  "0",
		`sluice_group_lag_records{group="g",partition="0",topic="t0"}`: "100",
		`sluice_group_lag_seconds{group="g",partition="0",topic="t0"}`: "24.95",
		`sluice_group_lag_records{group="g",partition="1",topic="t0"}`: "0",
		`sluice_group_lag_records{group="*",partition="*",topic="*"}`:  "0",
		`sluice_metrics_left_out{kind="topics"}`:                       "0",
		`sluice_topic_records_in_total{topic="*"}`:                     "0",
		`sluice_metrics_left_out{kind="group_partitions"}`:             "0",
		`sluice_partition_object_bytes{partition="0",topic="t0"}`:      "0",
		`sluice_topic_object_bytes{topic="t0"}`:                        "0",
		`sluice_metrics_left_out{kind="partitions"}`:                   "0",
	})
}

// The age of records from before the start is taken from the timestamps in the tail index or of their
// object.
func TestLagOfRecordsFromBeforeTheStart(t *testing.T) {
	c := newCluster(1)
	p := c.id("t0", 0)
	start := c.clock.Now().UnixMilli()
	tt, _ := c.view.TopicByName("t0")
	tt.Partitions[0].Objects = []meta.ObjectRef{{Base: 0, End: 100, MaxTimestamp: start - 3_600_000, WrittenMs: start - 3_000_000, Bytes: 7}}
	s := c.table.Put(partition.NewState(p, 0, 0, 100))
	c.clock.Advance(time.Minute)
	s.Tail.Append(partition.Entry{Base: 100, Position: 1, MaxTimestamp: start - 600_000, Size: 10, Count: 10})
	s.Tail.Append(partition.Entry{Base: 110, Position: 1 << 20, Group: 1 << 20, MaxTimestamp: start - 60_000, Size: 10, Count: 10})
	s.Publish(120)
	c.commit("object", map[topic.Partition]int64{p: 50})
	c.commit("oldest", map[topic.Partition]int64{p: 105})
	c.commit("newer", map[topic.Partition]int64{p: 119})
	c.commit("none", map[topic.Partition]int64{p: -1})
	l := c.collector(100)
	l.mark()
	expect(t, scrape(t, l), map[string]string{
		`sluice_group_lag_seconds{group="object",partition="0",topic="t0"}`: "3660", `sluice_group_lag_seconds{group="oldest",partition="0",topic="t0"}`: "660",
		`sluice_group_lag_seconds{group="newer",partition="0",topic="t0"}`: "120", `sluice_group_lag_records{group="newer",partition="0",topic="t0"}`: "1",
		`sluice_group_lag_records{group="none",partition="0",topic="t0"}`: "120", `sluice_group_lag_seconds{group="none",partition="0",topic="t0"}`: "3660",
	})
}

// Beyond the limit, the rest is exported as a sum and its number as left out. Names that cannot be
// labels are part of the sum, and no name can collide with the sum's.
func TestSeriesAreBounded(t *testing.T) {
	c := newCluster(3, 4, 2, 1)
	for _, name := range []string{"t0", "t1", "t2", "t3"} {
		c.append(c.id(name, 0), 10)
	}
	all := map[topic.Partition]int64{c.id("t0", 0): 0, c.id("t1", 0): 4, c.id("t2", 0): 10}
	for _, name := range []string{"*", "big", "\xff\xfe", strings.Repeat("long", 100), "z"} {
		c.commit(name, all)
	}
	c.commit("", map[topic.Partition]int64{c.id("t3", 0): 3})
	l := c.collector(5)
	l.mark()
	got := scrape(t, l)
	expect(t, got, map[string]string{
		`sluice_metrics_left_out{kind="topics"}`: "0", `sluice_metrics_left_out{kind="partitions"}`: "5", `sluice_metrics_left_out{kind="group_partitions"}`: "12",
		`sluice_group_lag_records{group="",partition="0",topic="t3"}`: "7", `sluice_group_lag_records{group="*",partition="0",topic="t0"}`: "10",
		`sluice_group_lag_records{group="*",partition="*",topic="*"}`: "64", `sluice_partition_log_end_offset{partition="0",topic="t2"}`: "10"})
	if n := len(l.marks); n > 5 {
		t.Errorf("marks of %d partitions", n)
	}
	if n := len(got); n > 5*5+5+3*5+2*5+2+3 {
		t.Errorf("%d series", n)
	}
	got = scrape(t, c.collector(2))
	expect(t, got, map[string]string{`sluice_metrics_left_out{kind="topics"}`: "2", `sluice_topic_partitions{topic="*"}`: "3", `sluice_topic_records_in_total{topic="*"}`: "20"})
	got = scrape(t, c.collector(0))
	expect(t, got, map[string]string{`sluice_topic_partitions{topic="*"}`: "10", `sluice_group_lag_records{group="*",partition="*",topic="*"}`: "87"})
	c.groups = nil
	l.mark()
	if len(l.marks) != 0 {
		t.Errorf("marks of %d partitions that no group reads", len(l.marks))
	}
}

// BenchmarkScrape measures a scrape with 10,000 partitions, in all of which a group has committed.
func BenchmarkScrape(b *testing.B) {
	for _, series := range []int{0, 2000, 10_000} {
		b.Run(fmt.Sprintf("partitions=10000/series=%d", series), func(b *testing.B) {
			sizes := make([]int, 100)
			for i := range sizes {
				sizes[i] = 100
			}
			c := newCluster(sizes...)
			for _, t := range c.view.Topics() {
				offsets := make(map[topic.Partition]int64)
				for i := range t.Partitions {
					p := c.id(t.Name, int32(i))
					c.append(p, 100)
					offsets[p] = int64(i)
				}
				c.commit("group of "+t.Name, offsets)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			l := c.collector(series)
			for range 2 * maxMarks {
				c.clock.Advance(markEvery)
				for _, t := range c.view.Topics() {
					for i := range t.Partitions {
						s, _ := c.table.Loaded(c.id(t.Name, int32(i)))
						s.Publish(s.HighWatermark() + 1)
					}
				}
				l.mark()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			reg := prometheus.NewRegistry()
			reg.MustRegister(l)
			h := promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true})
			b.ReportAllocs()
			var bytes int
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				bytes = w.Body.Len()
			}
			b.ReportMetric(float64(bytes), "scrape-bytes")
			b.ReportMetric(float64(after.HeapAlloc)-float64(before.HeapAlloc), "marks-bytes")
		})
	}
}
