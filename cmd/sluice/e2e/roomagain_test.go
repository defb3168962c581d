package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// While the disk is full, the producer waits and fails no record. It continues by itself once there is
// room.
func TestDiskHasRoomAgain(t *testing.T) {
	disk := smallDisk(t, 64)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, admin := freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[wal]
segment_size_bytes = 4194304
capacity_bytes = 67108864
upload_size_bytes = 67108864
min_free_bytes = 4194304
[topics]
auto_create = true
[admin]
listen = %q
`, filepath.Join(disk, "data"), addr, addr, admin), admin)
	b.dir, b.addr = filepath.Join(disk, "data"), addr
	b.must("", "topic", "create", "t")
	p := produceSteadily(b, "t")
	last, since := int64(-1), time.Now()
	until(t, b, "the producer waits", 2*time.Minute, func() bool {
		if n := p.acked.Load(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > 3*time.Second
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	until(t, b, "it goes on", time.Minute, func() bool { return p.acked.Load() > last+(8<<20)/(64<<10) })
	p.stop()
	if b.metric("sluice_wal_failed") != 0 {
		t.Error("a full disk has failed the WAL")
	}
	select {
	case err := <-p.over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Second): // it may wait for room once more
	}
	acked := int(p.acked.Load())
	if got := len(documents(t, b.must("", "consume", "t", "--json"))); got < acked {
		t.Errorf("%d records can be read, %d were acknowledged", got, acked)
	}
}
