package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// metaNode is a broker whose metadata is tampered with between its starts.
type metaNode struct {
	*broker
	settings string
}

// newMetaNode returns a broker that is not started yet. dir must exist.
func newMetaNode(t *testing.T, dir string, reserve int) *metaNode {
	t.Helper()
	n := &metaNode{broker: &broker{t: t, dir: dir, addr: freePort(t), admin: freePort(t), log: &output{}}}
	n.settings = settings(t, fmt.Sprintf(`
[broker]
data_directory = %q
shutdown_grace_ms = 2000
[network]
quic_listen = %q
tcp_listen = %q
[wal]
segment_size_bytes = 1048576
capacity_bytes = 16777216
upload_size_bytes = 1048576
min_free_bytes = 1048576
[metadata]
reserve_bytes = %d
tick_ms = 10
change_timeout_ms = 3000
[admin]
listen = %q
`, dir, n.addr, n.addr, reserve, n.admin))
	t.Cleanup(func() {
		if n.cmd != nil {
			n.kill()
		}
		if t.Failed() {
			t.Logf("the broker printed:\n%s", tail(n.log.String(), 6000))
		}
	})
	return n
}

// serve starts the broker and waits until it is ready. If it exits first, the error is the last line
// that it printed.
func (n *metaNode) serve(args ...string) error {
	n.t.Helper()
	n.cmd = exec.Command(binary, append([]string{"broker", "--config", n.settings}, args...)...)
	n.log = &output{}
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.over = make(chan error, 1)
	go func(cmd *exec.Cmd, over chan error) { over <- cmd.Wait() }(n.cmd, n.over)
	for began := time.Now(); ; {
		if resp, err := http.Get("http://" + n.admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-n.over:
			n.cmd = nil
			n.sentence(err)
			return errors.New(last(n.log.String()))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(began) > time.Minute {
			n.t.Fatalf("the broker neither serves nor ends\n%s", n.log)
		}
	}
}

// sentence checks that a broker that exited by itself had exit code 1 and printed a one-line error
// last.
func (n *metaNode) sentence(err error) {
	n.t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		n.t.Errorf("it ended with %v, not exit code 1", err)
	}
	if log := n.log.String(); strings.Contains(log, "goroutine ") || strings.Contains(log, "panic:") || !strings.HasPrefix(last(log), "sluice: ") {
		n.t.Errorf("it printed\n%s", tail(log, 4000))
	}
}

func (n *metaNode) mustServe(args ...string) {
	n.t.Helper()
	if err := n.serve(args...); err != nil {
		n.t.Fatalf("%v\n%s", err, n.log)
	}
}

// kept counts what was acknowledged to clients.
type kept struct {
	topics int
	groups int
}

// make creates topics with a record each, and groups with an offset each.
func (n *metaNode) make(topics, groups int) kept {
	n.t.Helper()
	ctx, a, cl := deadline(n.t), n.admins(), n.client()
	for i := range topics {
		name := fmt.Sprintf("t%d", i)
		if _, err := a.CreateTopic(ctx, 3, 1, nil, name); err != nil {
			n.t.Fatal(err)
		}
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: name, Value: []byte(name)}).FirstErr(); err != nil {
			n.t.Fatal(err)
		}
	}
	for i := range groups {
		n.commit(fmt.Sprintf("g%d", i), int64(i+1))
	}
	return kept{topics, groups}
}

func (n *metaNode) commit(group string, offset int64) {
	n.t.Helper()
	if err := n.tryCommit(group, offset); err != nil {
		n.t.Fatal(err)
	}
}

func (n *metaNode) tryCommit(group string, offset int64) error {
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: "t0", Partition: 0, At: offset, LeaderEpoch: -1})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.admins().CommitAllOffsets(ctx, group, o)
}

// missing describes the topics and groups of k that were lost.
func (n *metaNode) missing(k kept) (lost []string) {
	n.t.Helper()
	ctx, a := deadline(n.t), n.admins()
	topics, err := a.ListTopics(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	for i := range k.topics {
		if d := topics[fmt.Sprintf("t%d", i)]; len(d.Partitions) != 3 {
			lost = append(lost, fmt.Sprintf("topic t%d: %d partitions", i, len(d.Partitions)))
		}
	}
	for i := range k.groups {
		offsets, err := a.FetchOffsets(ctx, fmt.Sprintf("g%d", i))
		if err != nil {
			n.t.Fatal(err)
		}
		if o, ok := offsets.Lookup("t0", 0); !ok || o.At != int64(i+1) {
			lost = append(lost, fmt.Sprintf("group g%d: %+v", i, o.Offset))
		}
	}
	return lost
}

// fillUp uses up the free space of a disk until free is called.
func fillUp(t *testing.T, disk string) (free func()) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		n, err := f.Write(make([]byte, size))
		if errors.Is(err, syscall.ENOSPC) && n == 0 {
			size /= 2
		} else if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// The broker is killed on a full disk and restarted before and after space is freed: no topic or
// group is lost. With a reserve it also serves while the disk is full; without one it may refuse to
// start, with an error that names the full disk.
func TestFullDiskCostsNoMetadata(t *testing.T) {
	for _, reserve := range []int{0, 8 << 20} {
		t.Run(fmt.Sprintf("reserve %d", reserve), func(t *testing.T) {
			disk := smallDisk(t, 64)
			n := newMetaNode(t, filepath.Join(disk, "data"), reserve)
			n.mustServe()
			k := n.make(8, 60)
			free := fillUp(t, disk)
			n.kill()
			fillUp(t, disk) // the space freed by the dead process
			for range 3 {
				err := n.serve()
				t.Logf("start on a full disk: %v", err)
				switch {
				case err == nil && reserve == 0:
					if lost := n.missing(k); len(lost) > 0 {
						t.Fatalf("gone: %q", lost)
					}
				case err == nil:
					if lost := n.missing(k); len(lost) > 0 {
						t.Fatalf("gone: %q", lost)
					}
					n.commit("late", 1)
				case reserve > 0:
					t.Errorf("the reserve was no help: %v", err)
				case !strings.Contains(err.Error(), "full"):
					t.Errorf("it does not say that the disk is full: %v", err)
				}
				if n.cmd != nil {
					n.kill()
				}
			}
			free()
			n.mustServe()
			if lost := n.missing(k); len(lost) > 0 {
				t.Fatalf("gone: %q", lost)
			}
			n.commit("after", 1)
		})
	}
}

// Metadata changes on a full disk succeed until the reserve is used up; then the process exits with
// a one-line error. All acknowledged changes are there after a restart.
func TestMetadataGoesOnWithItsReserve(t *testing.T) {
	disk := smallDisk(t, 48)
	n := newMetaNode(t, filepath.Join(disk, "data"), 512<<10)
	n.mustServe()
	n.make(1, 0)
	free := fillUp(t, disk)
	acked := int64(0)
	value := strings.Repeat("x", 2000) // offset metadata
	var full bool
	for n.cmd != nil {
		var o kadm.Offsets
		o.Add(kadm.Offset{Topic: "t0", Partition: 0, At: acked + 1, LeaderEpoch: -1, Metadata: value})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := n.admins().CommitAllOffsets(ctx, "g", o)
		cancel()
		if err == nil {
			acked++
		}
		select {
		case err := <-n.over:
			n.cmd = nil
			n.sentence(err)
		default:
		}
		if n.cmd != nil && acked%50 == 0 {
			full = full || n.metric("sluice_metadata_disk_full") == 1
		}
		if acked > 100_000 {
			t.Fatal("the disk is not full")
		}
	}
	t.Logf("%d changes on a full disk, then: %s", acked, last(n.log.String()))
	if acked < 20 {
		t.Errorf("only %d changes were acknowledged on a full disk", acked)
	}
	if !full {
		t.Error("sluice_metadata_disk_full was never 1")
	}
	if !strings.Contains(last(n.log.String()), "full") {
		t.Error("it does not say that the disk is full")
	}
	free()
	n.mustServe()
	offsets, err := n.admins().FetchOffsets(deadline(t), "g")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup("t0", 0); !ok || o.At < acked {
		t.Errorf("offset %+v, %d was acknowledged", o.Offset, acked)
	}
}

// shardDirectory returns the directory of a metadata shard's log. Shards are numbered from 0.
func (n *metaNode) shardDirectory(shard int) string {
	n.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(n.dir, "meta", "*", "*", "tandb", fmt.Sprintf("node-%d-*", shard+1)))
	if err != nil || len(dirs) != 1 {
		n.t.Fatalf("%q, %v", dirs, err)
	}
	return dirs[0]
}

// largestLog returns the largest log file of a shard.
func (n *metaNode) largestLog(shard int) (path string, content []byte) {
	n.t.Helper()
	logs, err := filepath.Glob(filepath.Join(n.shardDirectory(shard), "*.log"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, l := range logs {
		b, err := os.ReadFile(l)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(b) > len(content) {
			path, content = l, b
		}
	}
	return path, content
}

// If the log of shard 0 is truncated, or CURRENT or meta.guard is missing, the broker refuses to
// start, with a one-line error. Once the files are restored, nothing is lost.
func TestRootLogThatWentBackIsRefused(t *testing.T) {
	n := newMetaNode(t, t.TempDir(), 0)
	n.mustServe()
	k := n.make(6, 3)
	n.kill()
	path, whole := n.largestLog(0)
	for i := range 8 {
		cut := len(whole) * i / 8
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		err := n.serve()
		if err == nil || !strings.Contains(err.Error(), "shard 0") || !strings.Contains(err.Error(), "--accept-lost-metadata") {
			t.Fatalf("cut to %d of %d bytes: %v", cut, len(whole), err)
		}
		if i == 0 {
			t.Log(err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	current := filepath.Join(n.shardDirectory(0), "CURRENT")
	if err := os.Rename(current, current+".away"); err != nil {
		t.Fatal(err)
	}
	if err := n.serve(); err == nil || !strings.Contains(err.Error(), "shard 0") {
		t.Fatalf("without CURRENT: %v", err)
	}
	if err := os.Rename(current+".away", current); err != nil {
		t.Fatal(err)
	}
	guard := filepath.Join(n.dir, "meta.guard")
	if err := os.Rename(guard, guard+".away"); err != nil {
		t.Fatal(err)
	}
	if err := n.serve(); err == nil || !strings.Contains(err.Error(), "meta.guard") {
		t.Fatalf("without the guard: %v", err)
	}
	if err := os.Rename(guard+".away", guard); err != nil {
		t.Fatal(err)
	}
	n.mustServe()
	if lost := n.missing(k); len(lost) > 0 {
		t.Fatalf("gone: %q", lost)
	}
}

// A shard without its CURRENT file is offline, and only that shard. The log, a metric, /readyz and
// cluster status report it. Its partitions and groups are unavailable, not unknown; all others are
// served. Once the file is restored, everything is back. If it is gone for good,
// --accept-lost-metadata starts without it.
func TestDamagedShardIsOfflineAlone(t *testing.T) {
	n := newMetaNode(t, t.TempDir(), 0)
	n.mustServe()
	k := n.make(3, 20)
	n.must("", "topic", "create", "wide", "--partitions", "16")
	n.toEach(16)
	n.kill()
	const shard = 5
	current := filepath.Join(n.shardDirectory(shard), "CURRENT")
	if err := os.Rename(current, current+".away"); err != nil {
		t.Fatal(err)
	}
	n.mustServe()
	n.checkOffline(shard)
	n.kill() // the next start reports it again
	n.mustServe()
	n.checkOffline(shard)
	n.kill()
	if err := os.Rename(current+".away", current); err != nil {
		t.Fatal(err)
	}
	n.mustServe()
	if lost := n.missing(k); len(lost) > 0 {
		t.Errorf("gone: %q", lost)
	}
	// One per partition from before, and one from each of two starts for 15 of them.
	if got := len(documents(t, n.must("", "consume", "wide", "--json"))); got != 16+2*15 {
		t.Errorf("%d records can be read, want %d", got, 16+2*15)
	}
	n.must("", "cluster", "status", "--admin", n.admin)
	n.kill()
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	n.mustServe("--accept-lost-metadata")
	if log := n.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "shard=5") {
		t.Errorf("the loss was accepted in silence:\n%s", log)
	}
	if n.metric("sluice_metadata_shards_offline") != 0 {
		t.Error("the shard is still offline")
	}
	n.kill()
	n.mustServe() // the loss is reported until it is repaired
	if log := n.log.String(); !strings.Contains(log, "were lost with their metadata shard") {
		t.Errorf("the start after it does not say what is missing:\n%s", log)
	}
	for i := range 3 {
		n.must("", "topic", "delete", fmt.Sprintf("t%d", i))
	}
	n.must("", "topic", "delete", "wide")
	n.must("", "topic", "create", "wide", "--partitions", "16")
	n.must("", "cluster", "status", "--admin", n.admin)
	n.kill()
	n.mustServe()
	if log := n.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the start after all was made again says\n%s", log)
	}
}

// toEach produces one record to each partition of wide.
func (n *metaNode) toEach(partitions int32) {
	n.t.Helper()
	cl := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range partitions {
		if err := cl.ProduceSync(deadline(n.t), &kgo.Record{Topic: "wide", Partition: i, Value: []byte("before")}).FirstErr(); err != nil {
			n.t.Fatal(err)
		}
	}
}

// checkOffline checks how an offline shard is reported, and what is unavailable with it.
func (n *metaNode) checkOffline(shard int) {
	n.t.Helper()
	if log := n.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, fmt.Sprintf("shard=%d", shard)) {
		n.t.Errorf("no ERROR of shard %d:\n%s", shard, log)
	}
	if got := n.metric("sluice_metadata_shards_offline"); got != 1 {
		n.t.Errorf("sluice_metadata_shards_offline is %v", got)
	}
	resp, err := http.Get("http://" + n.admin + "/readyz")
	if err != nil {
		n.t.Fatal(err)
	}
	var body bytes.Buffer
	_, _ = body.ReadFrom(resp.Body)
	resp.Body.Close()
	if !strings.Contains(body.String(), fmt.Sprintf("shard %d", shard)) {
		n.t.Errorf("readyz says %q", &body)
	}
	if out, errs, code := n.sluice("", "cluster", "status", "--admin", n.admin); code != 1 || !strings.Contains(out+errs, "without leader") {
		n.t.Errorf("cluster status: %d\n%s%s", code, out, errs)
	}
	n.statusNames(fmt.Sprintf("\n%d ", shard), "has lost acknowledged changes", fmt.Sprintf("its metadata shard %d is offline", shard), "wide")
	n.partitionsOffline()
	n.groupsOffline()
}

// partitionsOffline checks that exactly one partition of wide, which has one in each shard, is
// offline, and that the others take records.
func (n *metaNode) partitionsOffline() {
	n.t.Helper()
	cl := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(2*time.Second), kgo.DisableIdempotentWrite())
	topics, err := n.admins().ListTopics(deadline(n.t), "wide")
	if err != nil {
		n.t.Fatal(err)
	}
	var offline, taken int
	for _, p := range topics["wide"].Partitions {
		if errors.Is(p.Err, kerr.LeaderNotAvailable) {
			offline++
			continue
		}
		if err := cl.ProduceSync(deadline(n.t), &kgo.Record{Topic: "wide", Partition: p.Partition, Value: []byte("x")}).FirstErr(); err != nil {
			n.t.Errorf("partition %d: %v", p.Partition, err)
		}
		taken++
	}
	if offline != 1 || taken != 15 {
		n.t.Errorf("%d partitions are offline and %d take records, want 1 and 15", offline, taken)
	}
}

// groupsOffline checks that each group either has its offset or has no coordinator, and that not all
// are without one.
func (n *metaNode) groupsOffline() {
	n.t.Helper()
	cl := n.client(kgo.RetryTimeout(500 * time.Millisecond))
	a := kadm.NewClient(cl)
	var away int
	for i := range 20 {
		offsets, err := a.FetchOffsets(deadline(n.t), fmt.Sprintf("g%d", i))
		if err != nil {
			if !errors.Is(err, kerr.CoordinatorNotAvailable) {
				n.t.Errorf("group g%d: %v", i, err)
			}
			away++
			continue
		}
		if o, ok := offsets.Lookup("t0", 0); !ok || o.At != int64(i+1) {
			n.t.Errorf("group g%d has %+v", i, o.Offset)
		}
	}
	if away == 20 {
		n.t.Error("no group is there")
	}
	n.t.Logf("%d of 20 groups are in the shard", away)
}
