package quorum

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus/machine"
)

func opened(t *testing.T, dir string) *Quorum {
	t.Helper()
	cfg := DefaultConfig(dir)
	cfg.Shards, cfg.Tick = 4, 5*time.Millisecond
	q, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// allocate takes n producer ids and returns the first.
func allocate(t *testing.T, q *Quorum, n int32) int64 {
	t.Helper()
	b, _, err := q.Propose(t.Context(), 0, machine.Encode(&machine.AllocateIDs{Count: n}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := machine.DecodeResult(b)
	if err != nil {
		t.Fatal(err)
	}
	return r.Number
}

// TestOtherHostName: metadata written under another host name is found.
func TestOtherHostName(t *testing.T) {
	dir := t.TempDir()
	q := opened(t, dir)
	first := allocate(t, q, 100)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := adopt(dir, "another"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "another")); err != nil {
		t.Fatal(err)
	}
	q = opened(t, dir)
	if next := allocate(t, q, 1); next != first+100 {
		t.Errorf("id %d after %d to %d, under the new host name", next, first, first+99)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "third"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := adopt(dir, "fourth"); err == nil {
		t.Error("one of two hosts was chosen")
	}
}
