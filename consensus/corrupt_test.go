package consensus_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/quorum"
)

// TestCorruptLog: a Raft log with a flipped bit is not opened, since acknowledged changes would
// be silently missing.
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
	logs, err := filepath.Glob(filepath.Join(cfg.Directory, "*", "*", "tandb", "node-1-*", "*.log"))
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
	refused(t, err, quorum.ErrDamaged)
}

// TestTornTail: the remains of a write interrupted by a crash are dropped, and nothing before
// them.
func TestTornTail(t *testing.T) {
	for name, tail := range map[string][]byte{
		"zeros":   make([]byte, 4096),
		"garbage": []byte("the beginning of a record that was never whole"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			names := killAfter(t, dir, 20)
			logs, err := filepath.Glob(filepath.Join(dir, "*", "*", "tandb", "node-*-*", "*.log"))
			must(t, err)
			if len(logs) < 5 {
				t.Fatalf("logs: %q", logs)
			}
			for _, log := range logs {
				b, err := os.ReadFile(log)
				must(t, err)
				must(t, os.WriteFile(log, append(b, tail...), 0o600))
			}
			c := open(t, small(dir))
			defer closed(t, c)
			for _, name := range names {
				if _, ok := c.View().TopicByName(name); !ok {
					t.Errorf("topic %s was acknowledged and is missing", name)
				}
			}
			create(t, c, "after", 3)
		})
	}
}
