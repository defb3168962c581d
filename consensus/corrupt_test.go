package consensus_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
)

// TestCorruptLog: a Raft log with a flipped bit is not opened, as acknowledged
// changes would be missing without a word.
func TestCorruptLog(t *testing.T) {
	cfg := small(t.TempDir())
	c := open(t, cfg)
	register(t, c, 1)
	for range 20 {
		if _, err := c.AllocateProducerIDs(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, c)
	logs, err := filepath.Glob(filepath.Join(cfg.Directory, "*", "*", "tandb", "node-1-1", "*.log"))
	must(t, err)
	if len(logs) != 1 {
		t.Fatalf("logs of shard 0: %q", logs)
	}
	b, err := os.ReadFile(logs[0])
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(logs[0], b, 0o600))
	c, err = consensus.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err == nil {
		closed(t, c)
	}
	refused(t, err, consensus.ErrDamaged)
}
