//go:build stores

package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/topic"
)

// cloud is a broker that stores its objects in a bucket, compacts only when told to, and deletes
// unneeded objects without delay.
type cloud struct {
	*sweeper
	bucket *s3.Client
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	client, url := startS3(t)
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	s := &sweeper{t: t, text: fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[wal]
upload_interval_ms = 1000
[object_storage]
url = %q
part_size_bytes = 5242880
prepare_timeout_ms = 60000
garbage_check_interval_ms = 200
[compaction]
paused = true
check_interval_ms = 100
target_size_bytes = 16777216
min_objects = 4
[metadata]
garbage_grace_ms = 0
late_put_grace_ms = 20000
[admin]
listen = %q
`, dir, addr, addr, url, admin)}
	s.broker = &broker{dir: dir, addr: addr, admin: admin}
	s.begin()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the broker printed:\n%s", tail(s.log.String(), 6000))
		}
	})
	return &cloud{s, client}
}

// stored returns the sizes of the objects in the bucket by key, except those below owner/.
func (c *cloud) stored() map[string]int64 {
	c.t.Helper()
	found := map[string]int64{}
	pages := s3.NewListObjectsV2Paginator(c.bucket, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		for _, o := range page.Contents {
			if !strings.HasPrefix(*o.Key, "owner/") {
				found[*o.Key] = *o.Size
			}
		}
	}
	return found
}

// metadata calls f with the broker's metadata. The broker must be stopped.
func (c *cloud) metadata(f func(*consensus.Cluster) error) {
	c.t.Helper()
	m, err := consensus.Open(context.Background(), consensus.DefaultConfig(filepath.Join(c.dir, "meta")), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		c.t.Fatal(err)
	}
	if err := errors.Join(f(m), m.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// named returns the keys of the objects that manifests refer to. The broker must be stopped.
func (c *cloud) named() map[string]bool {
	c.t.Helper()
	keys := map[string]bool{}
	c.metadata(func(m *consensus.Cluster) error {
		for _, t := range m.View().Topics() {
			for _, p := range t.Partitions {
				for _, o := range p.Objects {
					keys[object.Key(o.ID)] = true
				}
			}
		}
		return nil
	})
	return keys
}

// onlyNamed restarts the broker without its WAL and with compaction paused, and waits up to d until
// the bucket has exactly the objects that manifests refer to.
func (c *cloud) onlyNamed(d time.Duration) {
	c.t.Helper()
	c.stop()
	c.wipe()
	want, got := c.named(), c.stored()
	c.t.Logf("%d objects in the bucket, %d are named", len(got), len(want))
	c.begin("--accept-lost-wal")
	defer func() {
		if c.t.Failed() {
			c.t.Logf("in the bucket: %v\nnamed: %v", got, want)
		}
	}()
	within(c.t, d, "the bucket has what is named and nothing else", func() bool {
		got = c.stored()
		return maps.EqualFunc(got, want, func(int64, bool) bool { return true })
	})
}

// history is a topic that keeps every record, with the values produced to it by partition.
type history struct {
	name   string
	values map[int32][]string
}

// write produces n records of about size bytes to each partition.
func (h *history) write(c *cloud, rnd *table, n, size int) {
	c.t.Helper()
	cl := c.client(kgo.DefaultProduceTopic(h.name), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	for p := range h.values {
		for range n {
			value := fmt.Sprintf("%d %s", len(h.values[p]), rnd.noise(size))
			h.values[p] = append(h.values[p], value)
			cl.Produce(deadline(c.t), &kgo.Record{Partition: p, Value: []byte(value)}, func(_ *kgo.Record, err error) {
				if err != nil {
					c.t.Error(err)
				}
			})
		}
	}
	if err := cl.Flush(deadline(c.t)); err != nil {
		c.t.Fatal(err)
	}
}

func (h *history) check(c *cloud) {
	c.t.Helper()
	got := readAll(c.t, c.broker, h.name)
	for p, want := range h.values {
		for i := range max(len(want), len(got[p])) {
			if i >= len(want) || i >= len(got[p]) || got[p][i] != want[i] {
				c.t.Fatalf("%s/%d: %d records of %d; the one at offset %d differs", h.name, p, len(got[p]), len(want), i)
			}
		}
	}
}

// tombstones counts the tombstones that a reader from the start sees.
func (x *table) tombstones() (n int) {
	x.s.t.Helper()
	for _, r := range x.readFrom(0) {
		if r.Value == nil {
			n++
		}
	}
	return n
}

// add produces a record with a new key and waits until it is uploaded.
func (x *table) add() {
	x.s.t.Helper()
	x.n++
	key, value := fmt.Sprintf("added-%d", x.n), fmt.Sprintf("%s", x.noise(150))
	x.last[key] = value
	cl := x.s.client(kgo.DefaultProduceTopic(x.topic))
	defer cl.Close()
	if err := cl.ProduceSync(deadline(x.s.t), &kgo.Record{Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
		x.s.t.Fatal(err)
	}
	within(x.s.t, 30*time.Second, "uploaded", func() bool { return x.s.metric("sluice_upload_pending_bytes") == 0 })
}

// load produces one round of records to every topic; they are uploaded separately from other rounds.
func (c *cloud) load(logs, many *history, tables ...*table) {
	c.t.Helper()
	logs.write(c, tables[0], 300, 4<<10)
	many.write(c, tables[0], 5, 100)
	for _, x := range tables {
		x.write(203, 50, kgo.ZstdCompression())
	}
}

func (c *cloud) topics() (logs, many *history, kept, dropped *table) {
	c.t.Helper()
	c.must("", "topic", "create", "logs", "--config", "retention.ms=-1")
	c.must("", "topic", "create", "many", "--partitions", "4", "--config", "retention.ms=-1")
	for name, ms := range map[string]string{"kept": "86400000", "dropped": "1000"} {
		c.must("", "topic", "create", name, "--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0.01",
			"--config", "delete.retention.ms="+ms)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	return &history{"logs", map[int32][]string{0: nil}}, &history{"many", map[int32][]string{0: nil, 1: nil, 2: nil, 3: nil}},
		&table{s: c.sweeper, topic: "kept", last: map[string]string{}, rnd: rnd},
		&table{s: c.sweeper, topic: "dropped", last: map[string]string{}, rnd: rnd}
}

func (c *cloud) pause(value int64) {
	c.t.Helper()
	c.set("compact", "compact", "paused", value)
}

// idle waits until compaction has nothing left to do, then pauses it.
func (c *cloud) idle() {
	c.t.Helper()
	done := func() float64 { return c.metric("sluice_compaction_jobs_total") }
	last, since := done(), time.Now()
	within(c.t, 90*time.Second, "compaction comes to an end", func() bool {
		if n := done(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > 2*time.Second
	})
	c.pause(1)
}

// Compaction in S3: small objects are merged into large ones, a compacted topic keeps the last value
// of each key, tombstones are removed after delete.retention.ms and not before, and replaced objects
// are deleted from the bucket. Readers get correct records throughout.
func TestCompactionInS3(t *testing.T) {
	c := newCloud(t)
	logs, many, kept, dropped := c.topics()
	for range 8 {
		c.load(logs, many, kept, dropped)
	}
	if n := kept.check(); n != kept.n {
		t.Fatalf("%d records of %d before compaction", n, kept.n)
	}
	before := c.stored()
	c.pause(0)
	c.idle()
	for _, kind := range []string{`kind="merge"`, `kind="clean"`} {
		if c.metric("sluice_compaction_jobs_total", kind, `outcome="done"`) == 0 {
			t.Errorf("no job of %s was done", kind)
		}
	}
	c.onlyNamed(30 * time.Second)
	left, large := 0, 0
	for key, size := range c.stored() {
		if before[key] > 0 {
			left++
		}
		if size > 5<<20 {
			large++
		}
	}
	if left > 3 || large == 0 {
		t.Errorf("%d of %d small objects are left, %d are larger than a part", left, len(before), large)
	}
	logs.check(c)
	many.check(c)
	for _, x := range []*table{kept, dropped} {
		if n := x.check(); n > 100 {
			t.Errorf("%s has %d records of 50 keys", x.topic, n)
		}
	}

	// Tombstones are removed by the first pass after their retention has passed.
	want := kept.tombstones()
	if want == 0 {
		t.Fatal("no tombstone was kept")
	}
	c.pause(0)
	within(t, 60*time.Second, "tombstones go", func() bool {
		kept.add()
		dropped.add()
		c.idle()
		c.pause(0)
		return dropped.tombstones() == 0
	})
	c.idle()
	if n := kept.tombstones(); n < want {
		t.Errorf("%d tombstones are left of %d that may stay for a day", n, want)
	}
	c.onlyNamed(30 * time.Second)
	kept.check()
	dropped.check()
	logs.check(c)
	many.check(c)
}

// Compaction that is interrupted by a crash leaves no unreferenced objects in the bucket once its
// prepared objects have expired. Parts of unfinished multipart uploads are left to the bucket's
// lifecycle rules.
func TestKilledCompactionLeavesNothingInS3(t *testing.T) {
	c := newCloud(t)
	logs, many, kept, dropped := c.topics()
	for range 6 {
		c.load(logs, many, kept, dropped)
	}
	for _, bytes := range []float64{1 << 20, 4 << 20, 6 << 20, 8 << 20} {
		c.set("compact", "compact", "bytes_per_second", 4<<20)
		c.pause(0)
		within(t, 60*time.Second, "compaction under way", func() bool {
			return c.metric("sluice_compaction_read_bytes_total") > bytes || c.metric("sluice_compaction_jobs_total", `kind="merge"`, `outcome="done"`) > 0
		})
		t.Logf("killed after %.0f bytes read, %.0f objects written, %.0f replaced", c.metric("sluice_compaction_read_bytes_total"),
			c.metric("sluice_compaction_objects_total"), c.metric("sluice_compaction_replaced_total"))
		c.kill()
		c.begin()
	}
	kept.write(203, 50, kgo.NoCompression()) // compaction may have finished before the kill
	c.pause(0)
	c.idle()
	c.onlyNamed(90 * time.Second)
	logs.check(c)
	many.check(c)
	kept.check()
	dropped.check()
}

// An object whose broker crashed between the PUT and the commit is deleted when its preparation has
// expired, and again if a late PUT brings it back.
func TestGivenUpUploadsLeaveNothingInS3(t *testing.T) {
	c := newCloud(t)
	c.must("", "topic", "create", "t")
	id := meta.NewObjectID()
	put := func() {
		if _, err := c.bucket.PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(object.Key(id)),
			Body: strings.NewReader("records"), IfNoneMatch: aws.String("*")}); err != nil {
			t.Fatal(err)
		}
	}
	c.stop()
	c.metadata(func(m *consensus.Cluster) error {
		v, _ := m.View().TopicByName("t")
		return m.PrepareObject(context.Background(), id, []topic.Partition{{Topic: v.ID}}, 20*time.Second)
	})
	put()
	c.begin()
	c.must("record\n", "produce", "t")
	c.hurry() // a referenced object, which must stay
	if len(c.stored()) != 2 {
		t.Fatalf("%v are in the bucket before the time is over", c.stored())
	}
	within(t, 60*time.Second, "deleted when its time is over", func() bool { return len(c.stored()) == 1 })
	put()
	within(t, 60*time.Second, "deleted again", func() bool { return len(c.stored()) == 1 })
	c.onlyNamed(30 * time.Second)
	if got := c.must("", "consume", "t", "--from", "start", "--count", "1"); got != "record\n" {
		t.Errorf("%q", got)
	}
}
