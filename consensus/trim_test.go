package consensus_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// TestLargeCommandsAreSnapshotted: a few large commands, far fewer than SnapshotEntries, make
// their shard take a snapshot, so that neither the log nor what a start replays grows with
// them.
func TestLargeCommandsAreSnapshotted(t *testing.T) {
	cfg := small(t.TempDir())
	cfg.Shards, cfg.SnapshotEntries, cfg.SnapshotBytes = 1, 1<<20, 256<<10
	reg := prometheus.NewRegistry()
	c, err := consensus.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), reg)
	must(t, err)
	register(t, c, 1)
	p := topic.Partition{Topic: create(t, c, "t", 1).ID}
	const commands, size = 60, 40 << 10
	for i := range int64(commands) {
		id := meta.NewObjectID()
		must(t, c.PrepareObject(t.Context(), id, []topic.Partition{p}, time.Hour))
		results, err := c.CommitObject(t.Context(), id, []meta.CommitPart{{Partition: p, Epoch: 0,
			Ref: meta.ObjectRef{ID: id, Base: i, End: i + 1}, Producers: meta.Producers{Recent: bytes.Repeat([]byte{byte(i)}, size)}}})
		must(t, err)
		must(t, results[0].Err)
	}
	after := gauge(t, reg, "sluice_metadata_log_bytes")
	if proposed := gauge(t, reg, "sluice_metadata_proposed_bytes_total"); proposed < commands*size {
		t.Errorf("%v bytes were proposed", proposed)
	}
	for end := time.Now().Add(20 * time.Second); after > float64(cfg.SnapshotBytes)+2*size; after = gauge(t, reg, "sluice_metadata_log_bytes") {
		if time.Now().After(end) {
			t.Fatalf("%v bytes are in the logs since the snapshots; the limit is %d", after, cfg.SnapshotBytes)
		}
		<-time.After(20 * time.Millisecond)
	}
	if n := snapshots(t, cfg.Directory); n == 0 {
		t.Error("there is no snapshot on disk")
	}
	closed(t, c)

	reg = prometheus.NewRegistry()
	c, err = consensus.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), reg)
	must(t, err)
	defer closed(t, c)
	if n := gauge(t, reg, "sluice_metadata_log_bytes"); n > float64(cfg.SnapshotBytes)+2*size {
		t.Errorf("a start replays %v bytes", n)
	}
	m, ok := c.View().Partition(p)
	if !ok || m.TierEnd != commands || !bytes.Equal(m.Producers.Recent, bytes.Repeat([]byte{commands - 1}, size)) {
		t.Errorf("after a restart: %v, tier end %d", ok, m.TierEnd)
	}
}

// gauge returns the value of a metric without labels.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatal("no metric ", name)
	return 0
}

// snapshots counts the snapshots of partition shards.
func snapshots(t *testing.T, dir string) (n int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".gbsnap") && strings.Contains(path, fmt.Sprintf("snapshot-%d-", 2)) {
			n++
		}
		return err
	}))
	return n
}
