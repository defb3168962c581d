package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lossy starts a broker that considers data lost after it was unreadable for three seconds, and that
// gives each partition its own objects.
func lossy(t *testing.T) *broker {
	t.Helper()
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[object_storage]
own_object_size_bytes = 1048576
unreadable_after_ms = 3000
[compaction]
paused = true
[admin]
listen = %q
`, dir, addr, addr, admin), admin)
	b.dir, b.addr = dir, addr
	return b
}

// perObject is the number of records in each object.
const perObject = 10

// fillObjects produces rounds of records to single-partition topics, so that each topic gets one object
// per round. Values begin with their offsets.
func (b *broker) fillObjects(rounds int, topics ...string) {
	b.t.Helper()
	cl := b.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	for round := range rounds {
		for _, topic := range topics {
			for i := range perObject {
				value := bytes.Repeat([]byte{byte(i)}, 120<<10)
				copy(value, fmt.Sprintf("%d|", round*perObject+i))
				cl.Produce(deadline(b.t), &kgo.Record{Topic: topic, Value: value}, func(_ *kgo.Record, err error) {
					if err != nil {
						b.t.Error(err)
					}
				})
			}
		}
		if err := cl.Flush(deadline(b.t)); err != nil {
			b.t.Fatal(err)
		}
		b.hurry()
	}
}

// place is an object of one topic in a file:// store.
type place struct {
	topic     string
	base, end int64
	id, path  string
}

// places returns the objects of a file:// store, sorted by topic and offset.
func (b *broker) places() []place {
	b.t.Helper()
	topics, err := b.admins().ListTopics(deadline(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	names := map[string]string{}
	for _, t := range topics {
		names[fmt.Sprintf("%x", t.ID[:])] = t.Topic
	}
	var all []place
	var at place
	for line := range strings.Lines(b.must("", "object", "dump", "--index", "--json")) {
		var v struct {
			Kind, ID, Key, Topic string
			TopicID              string `json:"topic_id"`
			Base                 int64  `json:"base_offset"`
			End                  int64  `json:"end_offset"`
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			b.t.Fatal(err)
		}
		switch v.Kind {
		case "object":
			at = place{id: v.ID, path: filepath.Join(b.dir, "objects", filepath.FromSlash(v.Key))}
		case "partition":
			at.topic, at.base, at.end = names[v.TopicID], v.Base, v.End
			all = append(all, at)
		}
	}
	slices.SortFunc(all, func(a, b place) int { return strings.Compare(a.topic, b.topic)*1000 + int(a.base-b.base) })
	return all
}

// objectAt returns the object that holds an offset.
func objectAt(t testing.TB, all []place, topic string, offset int64) place {
	t.Helper()
	for _, p := range all {
		if p.topic == topic && p.base <= offset && offset < p.end {
			return p
		}
	}
	t.Fatalf("no object has %s at %d: %v", topic, offset, all)
	return place{}
}

// damages are ways to damage the object at path, given its bytes and those of another one.
var damages = map[string]func(path string, own, other []byte) error{
	"removed": func(path string, _, _ []byte) error { return os.Remove(path) },
	"emptied": func(path string, _, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
	"cut":     func(path string, own, _ []byte) error { return os.WriteFile(path, own[:len(own)/2], 0o600) },
	"block":   func(path string, own, _ []byte) error { return os.WriteFile(path, flipped(own, 300), 0o600) },
	"footer":  func(path string, own, _ []byte) error { return os.WriteFile(path, flipped(own, len(own)-60), 0o600) },
	"swapped": func(path string, _, other []byte) error { return os.WriteFile(path, other, 0o600) },
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

// polled is what a consumer got from one topic.
type polled struct {
	values []string
	errs   []error
	next   int64
}

// poll consumes topics from the start until done returns true. It fails if ctx ends first, or if a
// record is out of order or has the wrong value.
func (b *broker) poll(ctx context.Context, done func(map[string]*polled) bool, topics ...string) (map[string]*polled, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	got := map[string]*polled{}
	for _, t := range topics {
		got[t] = &polled{}
	}
	for !done(got) {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return got, errors.New("not in time")
		}
		fs.EachError(func(t string, _ int32, err error) { got[t].errs = append(got[t].errs, err) })
		fs.EachRecord(func(r *kgo.Record) {
			p := got[r.Topic]
			if want := fmt.Sprintf("%d|", r.Offset); r.Offset < p.next || !strings.HasPrefix(string(r.Value), want) {
				err = fmt.Errorf("%s: offset %d after %d has %q", r.Topic, r.Offset, p.next, r.Value[:8])
			}
			p.next = r.Offset + 1
			p.values = append(p.values, string(r.Value[:8]))
		})
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// If an object is missing or damaged, a consumer gets the records before it, then an error, and no
// record after it. Other topics of the consumer are not affected. The broker logs what cannot be read
// once or twice. Once the object is restored, the whole topic can be read.
func TestObjectCannotBeRead(t *testing.T) {
	b := lossy(t)
	topics := []string{"healthy"}
	for name := range damages {
		topics = append(topics, name)
	}
	for _, topic := range topics {
		b.must("", "topic", "create", topic)
	}
	b.fillObjects(3, topics...)
	all := b.places()
	b.t = t
	saved := map[string][]byte{}
	other, err := os.ReadFile(objectAt(t, all, "healthy", 0).path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range damages {
		p := objectAt(t, all, name, perObject)
		own, err := os.ReadFile(p.path)
		if err != nil {
			t.Fatal(err)
		}
		saved[p.path] = own
		if err := damage(p.path, own, other); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for name := range damages {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			got, err := b.poll(ctx, func(got map[string]*polled) bool {
				return len(got["healthy"].values) == 3*perObject && len(got[name].errs) > 0
			}, name, "healthy")
			if err != nil {
				t.Errorf("%s: %v; %d records and %v; healthy %d records", name, err, len(got[name].values), got[name].errs, len(got["healthy"].values))
				return
			}
			// Records before the damage are served, including intact blocks of the object itself.
			if n := got[name].next; n < perObject || n >= 2*perObject || int(n) != len(got[name].values) {
				t.Errorf("%s: %d records up to offset %d before the error", name, len(got[name].values), n)
			}
			if !errors.Is(got[name].errs[0], kerr.InvalidRecord) {
				t.Errorf("%s: the application got %v", name, got[name].errs[0])
			}
			if len(got["healthy"].errs) > 0 {
				t.Errorf("%s: beside it: %v", name, got["healthy"].errs)
			}
		})
	}
	wg.Wait()
	log := b.log.String()
	for name := range damages {
		p := objectAt(t, all, name, perObject)
		lines := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, "cannot be read") && strings.Contains(line, p.id) {
				lines++
				for _, want := range []string{"ERROR", "topic=" + name, "partition=0", "from_offset=1", "to_offset=1"} {
					if !strings.Contains(line, want) {
						t.Errorf("%s: no %s in the log line %s", name, want, line)
					}
				}
			}
		}
		if lines < 1 || lines > 2 {
			t.Errorf("%s: %d lines in the log name object %s", name, lines, p.id)
		}
	}
	if n := b.metric("sluice_unreadable_locations", `source="object"`); int(n) < len(damages) {
		t.Errorf("%v places are said to be unreadable, want %d", n, len(damages))
	}
	if b.metric("sluice_unreadable_reads_total", `reason="missing"`) == 0 || b.metric("sluice_unreadable_reads_total", `reason="damaged"`) == 0 {
		t.Error("no read is counted as missing, or as damaged")
	}
	for path, own := range saved {
		if err := os.WriteFile(path, own, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name := range damages {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		got, err := b.poll(ctx, func(got map[string]*polled) bool { return len(got[name].values) == 3*perObject }, name)
		cancel()
		if err != nil {
			t.Errorf("%s, restored: %v; %d records", name, err, len(got[name].values))
		}
	}
	if n := b.metric("sluice_unreadable_locations"); n != 0 {
		t.Errorf("%v places are said to be unreadable after all was restored", n)
	}
}

// The whole store is unavailable for longer than unreadable_after_ms. Nothing is lost, so clients get
// retriable errors for any request, and continue when the store is back.
func TestReadsWhileTheStoreIsAway(t *testing.T) {
	b := lossy(t)
	b.must("", "topic", "create", "t")
	b.fillObjects(3, "t")
	objects := filepath.Join(b.dir, "objects")
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	cl := b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepRetryableFetchErrors())
	seen := map[error]int{}
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachError(func(_ string, _ int32, err error) { seen[err]++ })
	}
	cancel()
	for err, n := range seen {
		if !errors.Is(err, kerr.KafkaStorageError) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a consumer was told %v, %d times", err, n)
		}
	}
	if seen[kerr.KafkaStorageError] == 0 {
		t.Errorf("a consumer was told %v", seen)
	}
	if err := b.offsetAt("t", 1); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a search by time was told %v", err)
	}
	if n := strings.Count(b.log.String(), "does not answer reads"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	if n := b.metric("sluice_unreadable_locations"); n != 0 {
		t.Errorf("%v places are said to be lost", n)
	}
	if err := os.Rename(objects+".away", objects); err != nil {
		t.Fatal(err)
	}
	consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 3*perObject)
	if err := b.offsetAt("t", 1); err != nil {
		t.Errorf("a search by time when the store is back: %v", err)
	}
}

// offsetAt looks up an offset of partition 0 by time, and returns the error in the response.
func (b *broker) offsetAt(topic string, ms int64) error {
	b.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = ms, -1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	b1 := b.client(kgo.RequestRetries(0))
	resp, err := b1.Broker(1).Request(deadline(b.t), req)
	if err != nil {
		b.t.Fatal(err)
	}
	return kerr.ErrorForCode(resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode)
}
