package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sweeper is a broker that sweeps objects without delay and compacts slowly. Its data directory
// outlives its processes.
type sweeper struct {
	*broker
	t    *testing.T
	text string
}

func newSweeper(t *testing.T) *sweeper {
	t.Helper()
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	s := &sweeper{t: t, text: fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[wal]
upload_interval_ms = 1000
[compaction]
bytes_per_second = 300000
target_size_bytes = 1048576
[metadata]
garbage_grace_ms = 0
[admin]
listen = %q
`, dir, addr, addr, admin)}
	s.broker = &broker{dir: dir, addr: addr, admin: admin}
	s.begin()
	return s
}

// begin starts the process. A broker sweeps as soon as it starts.
func (s *sweeper) begin(flags ...string) {
	s.t.Helper()
	b := role(s.t, "broker", s.text, s.admin, flags...)
	b.dir, b.addr = s.broker.dir, s.broker.addr
	s.broker = b
}

// objects returns the names of the objects in the store.
func (s *sweeper) objects() map[string]bool {
	s.t.Helper()
	found := make(map[string]bool)
	err := filepath.WalkDir(filepath.Join(s.dir, "objects"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) != "owner" && !strings.HasSuffix(path, ".attrs") {
			found[d.Name()] = true
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// set changes a limit of a running stage.
func (b *broker) set(graph, stage, key string, value int64) {
	b.t.Helper()
	body := fmt.Sprintf(`{"graph":%q,"stage":%q,"key":%q,"value":%d}`, graph, stage, key, value)
	resp, err := http.Post("http://"+b.admin+"/limits", "application/json", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("POST /limits %s: %s", body, resp.Status)
	}
}

// within waits at most d until ok returns true.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	until := time.Now().Add(d)
	for !ok() {
		if time.Now().After(until) {
			t.Fatalf("not in %s: %s", d, what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// fill produces n records of 1000 bytes with the same timestamp and waits until they are uploaded.
func (s *sweeper) fill(topic string, n int, at time.Time) {
	s.t.Helper()
	cl := s.client(kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	for i := range n {
		r := &kgo.Record{Timestamp: at, Value: append(fmt.Appendf(nil, "%d ", i), bytes.Repeat([]byte("x"), 1000)...)}
		cl.Produce(deadline(s.t), r, func(_ *kgo.Record, err error) {
			if err != nil {
				s.t.Error(err)
			}
		})
	}
	if err := cl.Flush(deadline(s.t)); err != nil {
		s.t.Fatal(err)
	}
	within(s.t, 30*time.Second, "uploaded", func() bool { return s.metric("sluice_upload_pending_bytes") == 0 })
}

func (s *sweeper) logStart(topic string) int64 {
	s.t.Helper()
	starts, err := s.admins().ListStartOffsets(deadline(s.t), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	o, _ := starts.Lookup(topic, 0)
	return o.Offset
}

// Records older than retention.ms or beyond retention.bytes are deleted, and so are their objects. The
// rest stays readable from the new log start.
func TestRetention(t *testing.T) {
	s := newSweeper(t)
	s.must("", "topic", "create", "aged", "--config", "retention.ms=3600000")
	s.must("", "topic", "create", "sized", "--config", "retention.bytes=200000", "--config", "retention.ms=-1")
	s.must("", "topic", "create", "kept", "--config", "retention.ms=-1")
	long := time.Now().Add(-2 * time.Hour)
	for range 3 {
		for _, topic := range []string{"aged", "sized", "kept"} {
			s.fill(topic, 100, long)
		}
	}
	s.fill("aged", 100, time.Now())
	before := s.objects()

	s.set("retain", "plan", "check_interval_ms", 100)
	within(t, 30*time.Second, "cut by time", func() bool { return s.logStart("aged") == 300 })
	within(t, 30*time.Second, "cut by size", func() bool { return s.logStart("sized") > 0 })
	if got := s.logStart("kept"); got != 0 {
		t.Errorf("what is kept for ever starts at %d", got)
	}
	if start := s.logStart("sized"); start > 100 {
		t.Errorf("300 records of 1000 bytes were cut at %d to keep 200000", start)
	}
	for _, reason := range []string{"time", "size"} {
		if s.metric("sluice_retention_bytes_total", `"`+reason+`"`) < 90_000 {
			t.Errorf("retention by %s put nothing away", reason)
		}
	}

	s.stop()
	s.begin()
	within(t, 60*time.Second, "objects deleted", func() bool { return len(s.objects()) <= len(before)-3 })
	if got := s.logStart("aged"); got != 300 {
		t.Errorf("after a restart the log starts at %d", got)
	}
	for topic, want := range map[string]int{"aged": 100, "kept": 300, "sized": 300 - int(s.logStart("sized"))} {
		got := consume(t, s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), want)
		if first := s.logStart(topic); got[0].Offset != first {
			t.Errorf("%s begins with offset %d, the log starts at %d", topic, got[0].Offset, first)
		}
	}
	// A reader below the log start is reset to it.
	at := map[string]map[int32]kgo.Offset{"aged": {0: kgo.NewOffset().At(5)}}
	got := consume(t, s.client(kgo.ConsumePartitions(at), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 100)
	if got[0].Offset != 300 {
		t.Errorf("a reader from 5 gets %d", got[0].Offset)
	}
}

// In a topic that takes future timestamps, such a record does not keep itself and all later records
// until that time: its age counts from when it was written.
func TestRetentionOfRecordsFromTheFuture(t *testing.T) {
	s := newSweeper(t)
	s.must("", "topic", "create", "early", "--config", "retention.ms=2000", "--config", "message.timestamp.after.max.ms=9223372036854775807")
	s.fill("early", 10, time.Now().Add(365*24*time.Hour))
	s.fill("early", 10, time.Now())
	s.set("retain", "plan", "check_interval_ms", 100)
	within(t, 30*time.Second, "cut", func() bool { return s.logStart("early") == 20 })
}

// If all records of a log are too old, it becomes empty, even if nothing was uploaded yet.
func TestRetentionOfWhatIsNotUploaded(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "old", "--config", "retention.ms=1000", "--partitions", "1")
	b.must("one\ntwo\n", "produce", "old")
	b.set("retain", "plan", "check_interval_ms", 100)
	s := &sweeper{broker: b, t: t}
	within(t, 30*time.Second, "cut", func() bool { return s.logStart("old") == 2 })
	b.kill()
	b.start()
	if got := s.logStart("old"); got != 2 {
		t.Errorf("after kill -9 the log starts at %d", got)
	}
	b.must("three\n", "produce", "old")
	if got := consume(t, b.client(kgo.ConsumeTopics("old")), 1); string(got[0].Value) != "three" || got[0].Offset != 2 {
		t.Errorf("%d %s", got[0].Offset, got[0].Value)
	}

	// A wiped WAL leaves a gap between the objects and the log start. New records get offsets after the
	// gap, where readers look for them.
	b.must("", "topic", "create", "wiped", "--config", "retention.ms=1000", "--partitions", "1")
	b.must("one\ntwo\nthree\n", "produce", "wiped")
	b.set("retain", "plan", "check_interval_ms", 100)
	within(t, 30*time.Second, "cut", func() bool { return s.logStart("wiped") == 3 })
	b.must("", "config", "set", "topic", "wiped", "retention.ms=-1")
	b.stop()
	if err := os.RemoveAll(filepath.Join(b.dir, "wal")); err != nil {
		t.Fatal(err)
	}
	b.startWithout()
	b.must("four\n", "produce", "wiped")
	b.hurry()
	for range 2 {
		if got := consume(t, b.client(kgo.ConsumeTopics("wiped")), 1); string(got[0].Value) != "four" || got[0].Offset != 3 {
			t.Errorf("%d %s", got[0].Offset, got[0].Value)
		}
		b.kill()
		b.start()
	}
}
