package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// smallDisk mounts a tmpfs of the given size in MiB and returns its mount point. It skips the test
// without root.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED, as no file system can be mounted here (it takes root): %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %s", out)
		}
	})
	return dir
}

// The disk fills up under load. Producers wait, the broker goes on serving acknowledged records, and
// it accepts more once there is free space.
func TestDiskFullUnderLoad(t *testing.T) {
	disk := smallDisk(t, 64)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, admin := freePort(t), freePort(t)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
shutdown_grace_ms = 2000
[network]
quic_listen = %q
tcp_listen = %q
[wal]
segment_size_bytes = 4194304
capacity_bytes = 67108864
upload_size_bytes = 67108864
min_free_bytes = 1048576
[topics]
auto_create = true
[admin]
listen = %q
`, filepath.Join(disk, "data"), addr, addr, admin)
	b := role(t, "broker", text, admin)
	b.dir, b.addr = filepath.Join(disk, "data"), addr
	b.must("", "topic", "create", "t")

	acked := 0
	value := make([]byte, 64<<10)
	cl := b.client(kgo.DefaultProduceTopic("t"), kgo.RecordDeliveryTimeout(3*time.Second),
		kgo.DisableIdempotentWrite(), // with it the client never gives up on a record that may have been written
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	for full := false; !full; {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := cl.ProduceSync(ctx, &kgo.Record{Value: value}).FirstErr()
		cancel()
		if full = err != nil; !full {
			acked++
		}
		if acked > 64<<20/len(value) {
			t.Fatal("more was acknowledged than there is room for")
		}
	}
	if acked < 8<<20/len(value) {
		t.Errorf("only %d records were acknowledged", acked)
	}
	t.Logf("%d records acknowledged when the disk was full", acked)
	if got := len(documents(t, b.must("", "consume", "t", "--json"))); got < acked {
		t.Errorf("%d records can be read, %d were acknowledged", got, acked)
	}
	// It stops even though requests wait for free space.
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.over:
		b.cmd = nil
	case <-time.After(60 * time.Second):
		t.Fatal("the broker does not stop while its disk is full")
	}
	log := b.log.String()
	b = role(t, "broker", text, admin)
	b.dir, b.addr = filepath.Join(disk, "data"), addr
	t.Logf("it ended with: %s", last(log))
	if got := len(documents(t, b.must("", "consume", "t", "--json"))); got < acked {
		t.Errorf("after a restart %d records can be read, %d were acknowledged", got, acked)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Value: []byte("room again")}
	again := b.client(kgo.DefaultProduceTopic("t"))
	if err := again.ProduceSync(deadline(t), r).FirstErr(); err != nil {
		t.Fatalf("after room was made: %v\n%s", err, tail(b.log.String(), 3000))
	}
	if int(r.Offset) < acked {
		t.Errorf("the next record has offset %d after %d", r.Offset, acked)
	}
}
