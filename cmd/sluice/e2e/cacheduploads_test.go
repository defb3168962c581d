package e2e

import (
	"fmt"
	"testing"
)

// TestUploadsComeFromTheWriteCache produces as fast as possible to a broker whose WAL and objects
// share a disk. Uploads keep up, so the broker need not read back what it has just written.
func TestUploadsComeFromTheWriteCache(t *testing.T) {
	const partitions, requests, batchBytes = 8, 1600, 32 << 10
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[wal]
segment_size_bytes = 8388608
capacity_bytes = 268435456
upload_size_bytes = 33554432
[object_storage]
own_object_size_bytes = 4194304
[cache]
write_cache_size_bytes = 58720256
[admin]
listen = %q
`, dir, addr, admin), admin)
	b.dir, b.addr = dir, addr
	b.must("", "topic", "create", "fast", "--partitions", fmt.Sprint(partitions), "--transport", "tcp")
	batch := randomBatch(t, batchBytes)
	produceBatches(t, b, "fast", partitions, requests, batch)
	b.uploaded(float64(requests * partitions * len(batch)))

	if n := b.metric("sluice_uploads_total", `"cache"`); n == 0 {
		t.Error("no upload was begun early")
	}
	hits, misses := b.metric("sluice_write_cache_hits_total"), b.metric("sluice_write_cache_misses_total")
	if hits == 0 || misses > (hits+misses)/3 {
		t.Errorf("%.0f reads of groups found them in the write cache, %.0f did not", hits, misses)
	}
	t.Logf("%.0f hits, %.0f misses, producers held back for %.2f s", hits, misses, b.metric("sluice_wal_throttle_seconds_total"))
}
