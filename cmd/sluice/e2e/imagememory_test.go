package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// If the settings allow groups larger than the memory for their images, groups are limited to what
// fits, both at the start and when the maximum is raised at run time. All records are accepted.
func TestGroupsLargerThanTheMemoryForImages(t *testing.T) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	text := fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
max_request_bytes = 3000000
max_control_request_bytes = 1048576
[wal]
segment_size_bytes = 67108864
capacity_bytes = 536870912
[memory]
wal_buffer_bytes = 4194304
[cache]
write_cache_size_bytes = 2097152
[requests]
max_partitions = 1000
[stages.batch]
eager_groups = 1
linger_us = 1000000
target_bytes = 8388608
max_bytes = 8388608
[admin]
listen = %q
`, dir, addr, admin)
	file := settings(t, text)
	b := role(t, "broker", text, admin)
	b.dir, b.addr = dir, addr
	if out, errs, code := b.sluice("", "config", "check", file); code != 0 {
		t.Fatalf("config check: %s%s", out, errs)
	}
	b.must("", "topic", "create", "large", "--partitions", "8", "--transport", "tcp", "--config", "max.message.bytes=2900000")
	produce := func(when string) {
		t.Helper()
		over := make(chan struct{})
		go func() {
			defer close(over)
			var wires []*wire
			for i := range 8 {
				wires = append(wires, b.dial(produceFrame("large", i, 1, randomBatch(t, 1<<20)), produceFrame("large", i, 1, randomBatch(t, 2800<<10))))
			}
			flatOut(t, wires, 4, 2*time.Second)
		}()
		select {
		case <-over:
		case <-time.After(time.Minute):
			t.Fatalf("%s: produce hangs", when)
		}
	}
	produce("at the start")
	b.must("", "config", "set", "limits", "write/batch", "max_bytes=67108864", "--admin", admin)
	b.must("", "config", "set", "limits", "write/batch", "target_bytes=67108864", "--admin", admin)
	produce("after config set")
	if used := b.metric("sluice_memory_bytes", `"wal_buffers"`); used > 4<<20 {
		t.Errorf("%.0f bytes of images outside the cache", used)
	}

	// Settings that allow a single request too large for that memory are refused.
	small := strings.Replace(text, "max_request_bytes = 3000000", "max_request_bytes = 4194304", 1)
	if err := os.WriteFile(file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := b.sluice("", "config", "check", file); code == 0 || !strings.Contains(errs, "memory.wal_buffer_bytes (4194304) has no room for the largest request") {
		t.Errorf("config check takes it: %s", errs)
	}
}
