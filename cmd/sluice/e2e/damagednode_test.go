package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// restPartition identifies a partition.
type restPartition struct {
	topic     string
	partition int32
}

func (p restPartition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// acked is the acknowledged state, which must be durable.
type acked struct {
	records map[restPartition][]string // by offset
	configs map[string]string          // max.message.bytes by topic
	groups  map[string]int64           // committed offset in a/0 by group
}

func (a acked) clone() acked {
	return acked{maps.Clone(a.records), maps.Clone(a.configs), maps.Clone(a.groups)}
}

func (a acked) places() []restPartition {
	return slices.SortedFunc(maps.Keys(a.records), func(x, y restPartition) int { return strings.Compare(x.String(), y.String()) })
}

// restNode is a node with copies of its data directory after two clean stops, and what had been
// acknowledged by the second.
type restNode struct {
	*metaNode
	acked
	test       *testing.T
	old, whole string // copies of the data directory after the first and second stop
}

const restShards = 4

func newRestNode(t *testing.T, dir string) *restNode {
	t.Helper()
	n := &restNode{test: t, acked: acked{map[restPartition][]string{}, map[string]string{}, map[string]int64{}}}
	n.metaNode = &metaNode{broker: &broker{t: t, dir: dir, addr: freePort(t), admin: freePort(t), log: &output{}}}
	n.settings = settings(t, fmt.Sprintf(`
[broker]
data_directory = %q
shutdown_grace_ms = 5000
[network]
quic_listen = %q
tcp_listen = %q
[wal]
segment_size_bytes = 1048576
capacity_bytes = 6291456
upload_size_bytes = 6291456
min_free_bytes = 1048576
[metadata]
shards = %d
snapshot_entries = 16
reserve_bytes = 1048576
tick_ms = 10
change_timeout_ms = 3000
[object_storage]
attempts = 2
last_pause_ms = 100
[admin]
listen = %q
`, dir, n.addr, n.addr, restShards, n.admin))
	t.Cleanup(func() {
		if n.cmd != nil {
			n.kill()
		}
	})
	return n
}

// prepare makes the copies old and whole: it runs the node with some work and stops it, twice. That
// leaves objects, metadata with snapshots, and a WAL with several segments, none of them uploaded.
func (n *restNode) prepare() {
	n.t.Helper()
	n.old, n.whole = n.dir+".old", n.dir+".whole"
	n.mustServe()
	n.topic("a", 4, "300000")
	n.topic("b", 2, "400000")
	n.work(4, 12)
	n.hurry()
	n.work(2, 2)
	n.stop()
	n.copy(n.dir, n.old)
	n.mustServe()
	n.topic("c", 2, "500000")
	n.work(4, 60)
	n.hurry()
	n.work(25, 12)
	n.stop()
	n.copy(n.dir, n.whole)
}

func (n *restNode) copy(from, to string) {
	n.t.Helper()
	if err := os.RemoveAll(to); err != nil {
		n.t.Fatal(err)
	}
	copyTree(n.test, from, to)
}

func (n *restNode) topic(name string, partitions int32, maxBytes string) {
	n.t.Helper()
	if _, err := n.admins().CreateTopic(deadline(n.t), partitions, 1, map[string]*string{"max.message.bytes": &maxBytes}, name); err != nil {
		n.t.Fatal(err)
	}
	n.configs[name] = maxBytes
	for range 6 { // enough changes for shard 0 to take a snapshot
		alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("864000000")}}
		if _, err := n.admins().AlterTopicConfigs(deadline(n.t), alter, name); err != nil {
			n.t.Fatal(err)
		}
	}
	for p := range partitions {
		n.records[restPartition{name, p}] = nil
	}
}

// work produces a number of records to each partition and commits a number of offsets.
func (n *restNode) work(records, commits int) {
	n.t.Helper()
	cl := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	for range records {
		for _, p := range n.places() {
			value := fmt.Sprintf("%s-%d %s", p, len(n.records[p]), strings.Repeat("x", 10_000))
			if err := cl.ProduceSync(deadline(n.t), &kgo.Record{Topic: p.topic, Partition: p.partition, Value: []byte(value)}).FirstErr(); err != nil {
				n.t.Fatal(err)
			}
			n.records[p] = append(slices.Clip(n.records[p]), value)
		}
	}
	for i := range commits {
		group := fmt.Sprintf("g%d", i%12)
		n.groups[group]++
		if err := n.commitTo(cl, group, n.groups[group]); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *restNode) commitTo(cl *kgo.Client, group string, offset int64) error {
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: "a", At: offset, LeaderEpoch: -1})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return kadm.NewClient(cl).CommitAllOffsets(ctx, group, o)
}

// restore resets the data directory to its state after the second stop.
func (n *restNode) restore() {
	n.t.Helper()
	if n.cmd != nil {
		n.kill()
	}
	n.copy(n.whole, n.dir)
}

// loss is acknowledged data that is no longer available.
type loss struct {
	what  string
	place restPartition // for lost records
	group string        // for a lost committed offset
	told  error         // the error that clients get; nil if none
}

func (l loss) String() string { return fmt.Sprintf("%s (%v)", l.what, l.told) }

// survey compares what the node serves with what was acknowledged. wrong lists what no damage
// excuses, such as different contents.
func (n *restNode) survey() (lost []loss, wrong []string) {
	n.t.Helper()
	cl := n.client(kgo.RetryTimeout(300*time.Millisecond), kgo.MetadataMinAge(10*time.Millisecond))
	defer cl.Close()
	ids, wrong := n.surveyTopics(cl)
	for _, p := range n.places() {
		l, w := n.surveyPartition(cl, p, ids[p.topic])
		lost, wrong = append(lost, l...), append(wrong, w...)
	}
	for group, want := range n.groups {
		offsets, err := kadm.NewClient(cl).FetchOffsets(deadline(n.t), group)
		o, ok := offsets.Lookup("a", 0)
		if err == nil {
			err = o.Err
		}
		if err != nil || !ok || o.At != want {
			lost = append(lost, loss{what: fmt.Sprintf("group %s is at %d, was at %d", group, o.At, want), group: group, told: err})
		}
	}
	return lost, wrong
}

// surveyTopics checks topics, partition counts and configs, and returns the topic IDs by name.
func (n *restNode) surveyTopics(cl *kgo.Client) (ids map[string]kadm.TopicID, wrong []string) {
	n.t.Helper()
	ids = map[string]kadm.TopicID{}
	a := kadm.NewClient(cl)
	topics, err := a.ListTopics(deadline(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	for name, want := range n.configs {
		var partitions int
		for p := range n.records {
			if p.topic == name {
				partitions++
			}
		}
		if got := len(topics[name].Partitions); got != partitions {
			wrong = append(wrong, fmt.Sprintf("topic %s has %d partitions, had %d", name, got, partitions))
			continue
		}
		ids[name] = topics[name].ID
		configs, err := a.DescribeTopicConfigs(deadline(n.t), name)
		if err != nil {
			n.t.Fatal(err)
		}
		c, err := configs.On(name, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		if !slices.ContainsFunc(c.Configs, func(c kadm.Config) bool { return c.Key == "max.message.bytes" && c.MaybeValue() == want }) {
			wrong = append(wrong, fmt.Sprintf("topic %s has not its max.message.bytes", name))
		}
	}
	return ids, wrong
}

// surveyPartition reads the partition from the start. Where nothing can be read, it tries each
// following offset.
func (n *restNode) surveyPartition(cl *kgo.Client, p restPartition, id kadm.TopicID) (lost []loss, wrong []string) {
	n.t.Helper()
	want := n.records[p]
	for at := int64(0); at < int64(len(want)); {
		got, err := n.fetch(cl, p, id, at)
		for _, r := range got {
			if r.Offset < int64(len(want)) && string(r.Value) != want[r.Offset] {
				wrong = append(wrong, fmt.Sprintf("%s has %.20q at offset %d, had %.20q", p, r.Value, r.Offset, want[r.Offset]))
			}
			if r.Offset > at {
				lost = append(lost, loss{what: fmt.Sprintf("%s from %d to %d", p, at, r.Offset), place: p})
			}
			at = r.Offset + 1
		}
		if len(got) == 0 && err == nil {
			err = errSilence
		}
		if len(got) == 0 {
			lost = append(lost, loss{what: fmt.Sprintf("%s at %d", p, at), place: p, told: err})
			at++
		}
	}
	return lost, wrong
}

// errSilence means that a consumer would wait forever: the response is empty, without an error.
var errSilence = errors.New("an empty answer")

// fetch reads from an offset as a consumer does, but without retries.
func (n *restNode) fetch(cl *kgo.Client, p restPartition, id kadm.TopicID, offset int64) ([]*kgo.Record, error) {
	n.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 50, 1, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = p.topic, id
	q := kmsg.NewFetchRequestTopicPartition()
	q.Partition, q.FetchOffset, q.PartitionMaxBytes = p.partition, offset, 1<<20
	t.Partitions = append(t.Partitions, q)
	req.Topics = append(req.Topics, t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, cl.Broker(1))
	if err != nil {
		n.t.Fatalf("fetch %s at %d: %v", p, offset, err)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, nil
	}
	rp := &resp.Topics[0].Partitions[0]
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: offset, Topic: p.topic, Partition: p.partition}, rp, nil, nil)
	return got.Records, got.Err
}

// workOn produces a record to each partition and commits an offset for each group. Partitions and
// groups with losses may refuse, all others must accept. Records must get offsets not used before.
func (n *restNode) workOn(lost []loss) (wrong []string) {
	n.t.Helper()
	cl := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(time.Second), kgo.RetryTimeout(300*time.Millisecond),
		kgo.DisableIdempotentWrite(), kgo.MetadataMinAge(10*time.Millisecond))
	defer cl.Close()
	var batch []*kgo.Record
	for _, p := range n.places() {
		batch = append(batch, &kgo.Record{Topic: p.topic, Partition: p.partition, Value: []byte("after " + p.String())})
	}
	for _, r := range cl.ProduceSync(deadline(n.t), batch...) {
		p := restPartition{r.Record.Topic, r.Record.Partition}
		concerned := slices.ContainsFunc(lost, func(l loss) bool { return l.place == p })
		switch {
		case r.Err != nil && !concerned:
			wrong = append(wrong, fmt.Sprintf("%s has lost nothing and takes nothing: %v", p, r.Err))
		case r.Err != nil:
		case r.Record.Offset != int64(len(n.records[p])):
			wrong = append(wrong, fmt.Sprintf("%s gives offset %d to a record, and %d were acknowledged", p, r.Record.Offset, len(n.records[p])))
		default:
			n.records[p] = append(slices.Clip(n.records[p]), string(r.Record.Value))
		}
	}
	for group, at := range n.groups {
		err := n.commitTo(cl, group, at+1)
		concerned := slices.ContainsFunc(lost, func(l loss) bool { return l.group == group })
		if err == nil {
			n.groups[group] = at + 1
		} else if !concerned {
			wrong = append(wrong, fmt.Sprintf("group %s has lost nothing and takes no offset: %v", group, err))
		}
	}
	return wrong
}

func (n *restNode) path(name string) string { return filepath.Join(n.dir, name) }
