package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// walNode is a broker with two partitions and some megabytes in its WAL, none of them uploaded.
type walNode struct {
	*metaNode
	test *testing.T
	sent [2][]string
}

func newWALNode(t *testing.T) *walNode {
	t.Helper()
	n := &walNode{test: t, metaNode: newMetaNode(t, t.TempDir(), 0)}
	text, err := os.ReadFile(n.settings)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "upload_size_bytes = 1048576", "upload_size_bytes = 16777216", 1))
	if err := os.WriteFile(n.settings, text, 0o600); err != nil {
		t.Fatal(err)
	}
	n.mustServe()
	n.createTopic("t", 2)
	n.produce(60)
	return n
}

// produce sends a number of records of 50 kB to each of the two partitions, one at a time, alternating.
func (n *walNode) produce(records int) {
	n.t.Helper()
	cl := n.client(kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	for range records {
		for p := range n.sent {
			value := fmt.Sprintf("%d-%d %s", p, len(n.sent[p]), strings.Repeat("x", 50_000))
			if err := cl.ProduceSync(deadline(n.t), &kgo.Record{Partition: int32(p), Value: []byte(value)}).FirstErr(); err != nil {
				n.t.Fatal(err)
			}
			n.sent[p] = append(n.sent[p], value)
		}
	}
}

// check checks that exactly the acknowledged records can be read.
func (n *walNode) check() {
	n.t.Helper()
	got := readAll(n.test, n.broker, "t")
	for p, sent := range n.sent {
		if !slices.Equal(got[int32(p)], sent) {
			n.t.Errorf("partition %d has %d records, %d were acknowledged", p, len(got[int32(p)]), len(sent))
		}
	}
}

// refused checks that a start fails, and prints words and --accept-lost-wal.
func (n *walNode) refused(words ...string) {
	n.t.Helper()
	err := n.serve()
	if err == nil {
		n.t.Fatalf("it starts as if nothing were missing\n%s", tail(n.log.String(), 3000))
	}
	printed := n.log.String()
	for _, w := range append(words, "--accept-lost-wal") {
		if !strings.Contains(printed, w) {
			n.t.Errorf("it does not say %q:\n%s", w, tail(printed, 3000))
		}
	}
}

func (n *walNode) path(name string) string { return filepath.Join(n.dir, name) }

func (n *walNode) away(name string) (back func()) {
	n.t.Helper()
	rename := func(from, to string) {
		n.t.Helper()
		if err := os.Rename(from, to); err != nil {
			n.t.Fatal(err)
		}
	}
	rename(n.path(name), n.path(name)+".away")
	return func() {
		n.t.Helper()
		if err := os.RemoveAll(n.path(name)); err != nil { // what a start created there
			n.t.Fatal(err)
		}
		rename(n.path(name)+".away", n.path(name))
	}
}

// segments lists the segments of the WAL, oldest first.
func (n *walNode) segments() []string {
	n.t.Helper()
	names, err := filepath.Glob(n.path("wal/segment-*.wal"))
	if err != nil || len(names) < 3 {
		n.t.Fatalf("segments %v, %v", names, err)
	}
	slices.Sort(names)
	return names
}

// A start without meta/ or wal/, as when a disk is not mounted, is refused and costs nothing: once the
// directory is back, everything is there.
func TestAStartWithoutADirectoryCostsNothing(t *testing.T) {
	n := newWALNode(t)
	n.kill()
	metadata, guard := n.away("meta"), n.away("meta.guard")
	n.refused("not the one recorded in the metadata")
	n.refused("not the one recorded in the metadata") // nor the second time
	metadata()
	guard()
	n.mustServe()
	n.check()
	n.kill()
	log := n.away("wal")
	n.refused("but there is none")
	if err := os.Mkdir(n.path("wal"), 0o700); err != nil { // that start has created nothing
		t.Fatal(err)
	}
	for _, command := range []string{"verify", "dump", "salvage"} {
		n.fails(1, "there is no WAL in "+n.path("wal")+": it has no segments", "wal", command, n.path("wal"))
	}
	log()
	n.mustServe()
	n.check()
	n.stop()
	log, guard = n.away("wal"), n.away("wal.guard")
	n.refused("but there is none")
	log()
	n.refused("its guard is missing")
	guard()
	n.mustServe()
	n.check()
}

// After kill -9, a start is refused if the newest, the oldest or a middle segment is missing or
// truncated.
func TestMissingSegmentsAreRefused(t *testing.T) {
	n := newWALNode(t)
	n.kill()
	names := n.segments()
	for _, name := range []string{names[len(names)-1], names[0], names[1]} {
		back := n.away(filepath.Join("wal", filepath.Base(name)))
		n.refused("the WAL has lost what was on disk")
		back()
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 60_000); err != nil {
			t.Fatal(err)
		}
		n.refused("the WAL has lost what was on disk")
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.mustServe()
	n.check()
	// A loss has to be accepted only once.
	n.kill()
	if err := os.Remove(names[len(names)-1]); err != nil {
		t.Fatal(err)
	}
	n.mustServe("--accept-lost-wal")
	n.stop()
	n.mustServe()
	got := readAll(t, n.broker, "t")
	for p, sent := range n.sent {
		if len(got[int32(p)]) == 0 || len(got[int32(p)]) >= len(sent) || !slices.Equal(got[int32(p)], sent[:len(got[int32(p)])]) {
			t.Errorf("partition %d has %d records of %d", p, len(got[int32(p)]), len(sent))
		}
	}
}

// A missing segment in the middle leaves a hole until the segments before it are reclaimed. The hole,
// too, has to be accepted only once.
func TestALossInTheMiddleIsAcceptedOnce(t *testing.T) {
	n := newWALNode(t)
	n.kill()
	if err := os.Remove(n.segments()[1]); err != nil {
		t.Fatal(err)
	}
	n.refused("the WAL has lost what was on disk")
	n.mustServe("--accept-lost-wal")
	n.kill()
	n.mustServe()
	if !strings.Contains(n.log.String(), "the group is missing") {
		t.Error("the hole has gone: the test shows nothing")
	}
	got := readAll(t, n.broker, "t")
	for p, sent := range n.sent {
		if len(got[int32(p)]) == 0 || len(got[int32(p)]) >= len(sent) || !slices.Equal(got[int32(p)], sent[:len(got[int32(p)])]) {
			t.Errorf("partition %d has %d records of %d", p, len(got[int32(p)]), len(sent))
		}
	}
}

// A WAL restored from an old copy is refused.
func TestAnOldCopyOfTheWALIsRefused(t *testing.T) {
	n := newWALNode(t)
	n.stop()
	if out, err := exec.Command("cp", "-a", n.path("wal"), n.path("wal.old")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.mustServe()
	n.produce(10)
	n.stop()
	back := n.away("wal")
	if err := os.Rename(n.path("wal.old"), n.path("wal")); err != nil {
		t.Fatal(err)
	}
	n.refused("the WAL has lost what was on disk")
	back()
	n.mustServe()
	n.check()
}

// A partition with a damaged batch in the WAL takes no more records and serves those before the batch.
// The other partition is not affected. With --accept-lost-wal, the records from the damage on are given
// up.
func TestOneDamagedPartitionIsOfflineAlone(t *testing.T) {
	n := newWALNode(t)
	n.kill()
	n.harm(n.sent[0][30][:30])
	n.mustServe()
	if got := n.metric("sluice_partitions_damaged"); got != 1 {
		t.Fatalf("%v partitions are damaged", got)
	}
	for _, words := range []string{"a partition accepts no records", "is damaged in the WAL", "offset=30"} {
		if !strings.Contains(n.log.String(), words) {
			t.Errorf("the log does not say %q:\n%s", words, tail(n.log.String(), 3000))
		}
	}
	for words, times := range map[string]int{"corrupt\" segment=": 1, "torn_tail=true": 0, "torn=true": 0} {
		if got := strings.Count(n.log.String(), words); got != times {
			t.Errorf("the log says %q %d times, want %d:\n%s", words, got, times, tail(n.log.String(), 3000))
		}
	}
	n.statusNames("TOPIC", "t      0          it ends at offset 30: the batch at offset 30 is damaged in the WAL")
	checkHalf := func() {
		t.Helper()
		got := readAll(t, n.broker, "t")
		if !slices.Equal(got[0], n.sent[0][:30]) || !slices.Equal(got[1], n.sent[1]) {
			t.Errorf("%d and %d records, want 30 and %d", len(got[0]), len(got[1]), len(n.sent[1]))
		}
	}
	checkHalf()
	produce := func(p int32, within time.Duration) error {
		cl := n.client(kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(within))
		defer cl.Close()
		return cl.ProduceSync(deadline(t), &kgo.Record{Partition: p, Value: []byte("more")}).FirstErr()
	}
	if err := produce(0, 2*time.Second); err == nil {
		t.Error("a damaged partition takes records")
	}
	if err := produce(1, 30*time.Second); err != nil {
		t.Errorf("the other partition: %v", err)
	}
	n.sent[1] = append(n.sent[1], "more")
	n.stop()
	n.mustServe("--accept-lost-wal")
	within(t, 30*time.Second, "it is given up", func() bool { return n.metric("sluice_partitions_damaged") == 0 })
	if err := produce(0, 30*time.Second); err != nil {
		t.Error(err)
	}
	n.sent[0] = append(n.sent[0][:30:30], "more")
	n.check()
	n.must("", "cluster", "status", "--admin", n.admin)
	n.kill()
	n.mustServe()
	n.check()
	// The damage is still in its segment, but affects no partition.
	if found, damaged := n.metric("sluice_wal_corruptions_total"), n.metric("sluice_partitions_damaged"); found != 1 || damaged != 0 {
		t.Errorf("%v corruptions and %v damaged partitions, want 1 and 0", found, damaged)
	}
}

// statusNames checks that cluster status exits with 1 and prints words.
func (n *metaNode) statusNames(words ...string) {
	n.t.Helper()
	out, errs, code := n.sluice("", "cluster", "status", "--admin", n.admin)
	if code != 1 {
		n.t.Errorf("cluster status ends with %d\n%s%s", code, out, errs)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			n.t.Errorf("cluster status does not say %q:\n%s%s", w, out, errs)
		}
	}
}

// harm flips a bit in the only occurrence of text in the WAL, and returns a function that flips it back.
// The broker may be running.
func (n *walNode) harm(text string) (mend func()) {
	n.t.Helper()
	for _, path := range n.segments() {
		b, err := os.ReadFile(path)
		if err != nil {
			n.t.Fatal(err)
		}
		at := strings.Index(string(b), text)
		if at < 0 {
			continue
		}
		at += 20
		write := func(c byte) {
			n.t.Helper()
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte{c}, int64(at))
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				n.t.Fatal(err)
			}
		}
		write(b[at] ^ 4)
		return func() { n.t.Helper(); write(b[at]) }
	}
	n.t.Fatalf("the WAL does not have %q", text)
	return nil
}

// `wal salvage` exports what can be read of a WAL, without metadata, even if a segment is missing and a
// batch is damaged.
func TestSalvage(t *testing.T) {
	n := newWALNode(t)
	n.kill()
	for _, name := range []string{"meta", "meta.guard", "wal.guard"} {
		if err := os.RemoveAll(n.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	salvage := func() (values map[string]bool, stderr string, code int) {
		t.Helper()
		out, stderr, code := n.sluice("", "wal", "salvage", n.path("wal"))
		values = map[string]bool{}
		for _, d := range documents(t, out) {
			values[d["value"].(string)] = true
		}
		return values, stderr, code
	}
	values, stderr, code := salvage()
	if code != 0 || len(values) != len(n.sent[0])+len(n.sent[1]) {
		t.Fatalf("exit %d with %d records: %s", code, len(values), stderr)
	}
	n.harm(n.sent[0][50][:30])
	names := n.segments()
	if err := os.Remove(names[1]); err != nil {
		t.Fatal(err)
	}
	some, stderr, code := salvage()
	if code != 1 || !strings.Contains(stderr, "the batch at offset 50 of ") || !strings.Contains(stderr, "unreadable: ") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if some[n.sent[0][50]] || !some[n.sent[0][0]] || !some[n.sent[1][50]] || len(some) < len(values)/2 {
		t.Errorf("%d of %d records", len(some), len(values))
	}
	for v := range some {
		if !values[v] {
			t.Errorf("%.20q was never written", v)
		}
	}
}

// A broker with the ID of another one, whose metadata it sees, is refused before it registers: that
// would fence the other, which may be well.
func TestABrokerWithATakenIDFencesNobody(t *testing.T) {
	dir := t.TempDir()
	b := newBroker(t)
	b.must("", "topic", "create", "t", "--partitions", "1")
	b.must("one\n", "produce", "t")
	b.stop()
	incarnation := func() any {
		admin := freePort(t)
		c := role(t, "controller", fmt.Sprintf("[controller]\ndata_directory = %q\n[metadata]\ndirectory = %q\n[admin]\nlisten = %q\n", dir, filepath.Join(b.dir, "meta"), admin), admin)
		defer c.stop()
		resp, err := http.Get("http://" + admin + "/metadata")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return document(t, string(text))["brokers"].([]any)[0].(map[string]any)["Incarnation"]
	}
	before := incarnation()
	if before == nil {
		t.Fatal("the metadata has no incarnation")
	}
	other := newBroker(t)
	other.must("", "topic", "create", "t", "--partitions", "1")
	other.must("two\n", "produce", "t")
	other.stop()
	mine := filepath.Join(b.dir, "wal")
	for name, replace := range map[string]func() error{
		"none":           func() error { return nil },
		"another one's":  func() error { return os.CopyFS(mine, os.DirFS(filepath.Join(other.dir, "wal"))) },
		"an empty place": func() error { return os.Mkdir(mine, 0o700) },
	} {
		if err := os.Rename(mine, mine+".away"); err != nil {
			t.Fatal(err)
		}
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if err := b.tryStart(); err == nil || !strings.Contains(b.log.String(), "broker ID 1 is taken: if another broker has it, set another broker.id") {
			t.Errorf("with the WAL being %s: %v\n%s", name, err, tail(b.log.String(), 2000))
		}
		if after := incarnation(); after != before {
			t.Errorf("with the WAL being %s the broker has registered: incarnation %v, not %v", name, after, before)
		}
		if err := os.RemoveAll(mine); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(mine+".away", mine); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	if got := b.must("", "consume", "t"); got != "one\n" {
		t.Errorf("%q", got)
	}
}
