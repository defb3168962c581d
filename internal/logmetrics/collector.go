package logmetrics

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// Metadata provides the cluster's metadata.
type Metadata interface {
	View() *meta.View
	Groups() []*meta.Group
}

// Collector is a prometheus.Collector for the partitions that a broker leads. All methods are
// safe for concurrent use.
type Collector struct {
	cfg    Config
	broker int32
	meta   Metadata
	table  *partition.Table
	clock  clock.Clock

	mu    sync.Mutex // guards the fields below; the write and read paths never take it
	marks map[topic.Partition]*marks
}

// New returns a collector. The caller must call Run.
func New(cfg Config, broker int32, m Metadata, t *partition.Table, c clock.Clock) *Collector {
	return &Collector{cfg: cfg, broker: broker, meta: m, table: t, clock: c, marks: make(map[topic.Partition]*marks)}
}

const (
	// maxLabel is the maximum length, in bytes, of the name of a group with its own series.
	maxLabel = 255
	// others is the topic, partition and group label of the sum of the rest. It is not a valid
	// topic name.
	others = "*"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	topicPartitions = desc("sluice_topic_partitions", "Partitions that the broker leads.", "topic")
	topicRecordsIn  = desc("sluice_topic_records_in_total", "Records appended.", "topic")
	topicBytesIn    = desc("sluice_topic_bytes_in_total", "Bytes of record batches appended.", "topic")
	topicBytesOut   = desc("sluice_topic_bytes_out_total", "Bytes of record batches read for consumers.", "topic")
	topicBytes      = desc("sluice_topic_object_bytes", "Bytes of record batches in objects.", "topic")
	logStart        = desc("sluice_partition_log_start_offset", "First offset that can be read.", "topic", "partition")
	logEnd          = desc("sluice_partition_log_end_offset", "Offset after the last that can be read.", "topic", "partition")
	logBytes        = desc("sluice_partition_object_bytes", "Bytes of record batches in objects.", "topic", "partition")
	lagRecords      = desc("sluice_group_lag_records", "Records behind the committed offset of a group.", "group", "topic", "partition")
	lagSeconds      = desc("sluice_group_lag_seconds", "Time since the first record behind the committed offset was appended.", "group", "topic", "partition")
	leftOut         = desc("sluice_metrics_left_out", "What is beyond admin.max_metric_series and has no series of its own.", "kind")
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{topicPartitions, topicRecordsIn, topicBytesIn, topicBytesOut, topicBytes,
		logStart, logEnd, logBytes, lagRecords, lagSeconds, leftOut} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	view := c.meta.View()
	if view == nil {
		return
	}
	c.collectTopics(view, ch)
	c.collectGroups(view, ch)
}

// sums are the totals of a topic.
type sums struct{ partitions, recordsIn, bytesIn, bytesOut, bytes int64 }

func (s *sums) send(ch chan<- prometheus.Metric, name string) {
	l := labels("topic", name)
	ch <- &sample{topicPartitions, l, float64(s.partitions), false}
	ch <- &sample{topicRecordsIn, l, float64(s.recordsIn), true}
	ch <- &sample{topicBytesIn, l, float64(s.bytesIn), true}
	ch <- &sample{topicBytesOut, l, float64(s.bytesOut), true}
	ch <- &sample{topicBytes, l, float64(s.bytes), false}
}

// collectTopics sends the series of the first topics by name, and the sum of the rest. Either
// all partitions of a topic have series or none.
func (c *Collector) collectTopics(view *meta.View, ch chan<- prometheus.Metric) {
	topics := slices.Clone(view.Topics())
	slices.SortFunc(topics, func(a, b *meta.Topic) int { return strings.Compare(a.Name, b.Name) })
	var rest sums
	partitionsLeft, topicsOut, partitionsOut := c.cfg.MaxSeries, 0, 0
	for i, t := range topics {
		own := &rest
		if i < c.cfg.MaxSeries {
			own = &sums{}
		}
		each := len(t.Partitions) <= partitionsLeft
		if each {
			partitionsLeft -= len(t.Partitions)
		} else {
			partitionsOut += len(t.Partitions)
		}
		for index, m := range t.Partitions {
			if m.Leader == c.broker && !m.Offline {
				c.partition(ch, t, index, m, own, each)
			}
		}
		if own != &rest {
			own.send(ch, t.Name)
		} else {
			topicsOut++
		}
	}
	rest.send(ch, others)
	ch <- &sample{leftOut, labels("kind", "topics"), float64(topicsOut), false}
	ch <- &sample{leftOut, labels("kind", "partitions"), float64(partitionsOut), false}
}

// partition adds a partition to the totals of its topic and, if each, sends its own series.
func (c *Collector) partition(ch chan<- prometheus.Metric, t *meta.Topic, index int, m *meta.Partition, own *sums, each bool) {
	p := topic.Partition{Topic: t.ID, Index: int32(index)}
	var bytes int64
	for i := range m.Objects {
		bytes += m.Objects[i].Bytes
	}
	own.partitions++
	own.bytes += bytes
	if s, ok := c.table.Loaded(p); ok {
		n := s.Traffic()
		own.recordsIn, own.bytesIn, own.bytesOut = own.recordsIn+n.RecordsIn, own.bytesIn+n.BytesIn, own.bytesOut+n.BytesOut
	}
	if !each {
		return
	}
	start, end := c.bounds(p, m)
	l := labels("partition", strconv.Itoa(index), "topic", t.Name)
	ch <- &sample{logStart, l, float64(start), false}
	ch <- &sample{logEnd, l, float64(end), false}
	ch <- &sample{logBytes, l, float64(bytes), false}
}

// collectGroups sends the lag of each partition of the groups with their own series, and the
// total lag in records of all others.
func (c *Collector) collectGroups(view *meta.View, ch chan<- prometheus.Metric) {
	now := c.clock.Now().UnixMilli()
	listed, rest := c.groups()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range listed {
		for p, o := range g.Offsets {
			t, known := view.TopicByID(p.Topic)
			records, next, ok := c.behind(view, p, o.Offset)
			if !ok || !known {
				continue
			}
			seconds := 0.0
			if records > 0 {
				seconds = c.age(view, p, next, now)
			}
			l := labels("group", g.Name, "partition", strconv.Itoa(int(p.Index)), "topic", t.Name)
			ch <- &sample{lagRecords, l, float64(records), false}
			ch <- &sample{lagSeconds, l, seconds, false}
		}
	}
	var records, out int64
	for _, g := range rest {
		for p, o := range g.Offsets {
			if n, _, ok := c.behind(view, p, o.Offset); ok {
				records, out = records+n, out+1
			}
		}
	}
	ch <- &sample{lagRecords, labels("group", others, "partition", others, "topic", others), float64(records), false}
	ch <- &sample{leftOut, labels("kind", "group_partitions"), float64(out), false}
}
