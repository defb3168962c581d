package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/record"
)

// The memory map of a running broker lists every use once, with the same limits in
// `cluster memory` and in the metrics. A limit cannot be raised if memory.limit_bytes would then be
// less than the sum.
func TestMemoryMapOfARunningBroker(t *testing.T) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[memory]
limit_bytes = 1073741824
[admin]
listen = %q
`, dir, addr, admin), admin)
	b.dir, b.addr = dir, addr
	lines := map[string]float64{}
	text := strings.Split(strings.TrimSpace(b.must("", "cluster", "memory", "--admin", admin)), "\n")
	sum := fmt.Sprintf("of %7.1fM  and %.1fM for the process itself", b.metric("sluice_memory_limit_bytes")/(1<<20), float64(memory.Rest)/(1<<20))
	if last := text[len(text)-1]; !strings.HasPrefix(last, "together ") || !strings.HasSuffix(last, sum) {
		t.Errorf("the sum is not %q: %q", sum, last)
	}
	for _, text := range strings.Split(strings.TrimSpace(b.must("", "cluster", "memory", "--admin", admin, "--json")), "\n") {
		var l struct {
			Use   string  `json:"use"`
			Limit float64 `json:"limit_bytes"`
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		lines[l.Use] = l.Limit
	}
	for _, u := range memory.Uses() {
		if lines[u.Name] == 0 || lines[u.Name] != b.metric("sluice_memory_limit_bytes", `"`+u.Name+`"`) {
			t.Errorf("%s: a limit of %.0f, in the metrics %.0f", u.Name, lines[u.Name], b.metric("sluice_memory_limit_bytes", `"`+u.Name+`"`))
		}
	}
	if len(lines) != len(memory.Uses()) {
		t.Errorf("%d lines for %d uses", len(lines), len(memory.Uses()))
	}
	_, errs, code := b.sluice("", "config", "set", "limits", "compact/compact", "memory_bytes=268435456", "--admin", admin)
	if code == 0 || !strings.Contains(errs, "memory.limit_bytes (1073741824) is less than") {
		t.Errorf("a limit is raised beyond what there is: %s", errs)
	}
	if n := b.metric("sluice_memory_limit_bytes", `"compaction"`); n != 40<<20 {
		t.Errorf("the limit is %.0f after it was refused", n)
	}
	b.must("", "config", "set", "limits", "compact/compact", "memory_bytes=33554432", "--admin", admin)
	if n := b.metric("sluice_memory_limit_bytes", `"compaction"`); n != 32<<20 {
		t.Errorf("the limit is %.0f after it was lowered", n)
	}
}

// Settings that do not fit into memory.limit_bytes are refused with an error that says so, both by
// `config check` and at start.
func TestMemoryThatDoesNotFitIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := settings(t, fmt.Sprintf("[broker]\ndata_directory = %q\n[memory]\nlimit_bytes = 536870912\n", dir))
	const want = "memory.limit_bytes (536870912) is less than the limits of everything together"
	for _, args := range [][]string{{"config", "check", file}, {"broker", "--config", file}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
		cancel()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// When the tail index is full, the WAL is uploaded early and producers wait for that. The index
// never exceeds its limit.
func TestTailIndexIsBounded(t *testing.T) {
	const partitions, limit = 4000, 4 << 20
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[memory]
tail_index_bytes = %d
[admin]
listen = %q
`, dir, addr, limit, admin), admin)
	b.dir, b.addr = dir, addr
	b.must("", "topic", "create", "many", "--partitions", fmt.Sprint(partitions), "--transport", "tcp")
	batch, err := record.NewBuilder().Add(time.Now().UnixMilli(), nil, []byte("x")).Build()
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		produceBatches(t, b, "many", partitions, 500, batch)
	}()
	most, tick := 0.0, time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for waiting := true; waiting; {
		select {
		case <-tick.C:
			most = max(most, b.metric("sluice_memory_bytes", `"tail_index"`))
		case <-over:
			waiting = false
		case <-deadline:
			t.Fatal("producers wait for ever")
		}
	}
	if most > limit || most < limit/4 {
		t.Errorf("the index had up to %.0f bytes", most)
	}
	if n := b.metric("sluice_uploads_total", `"index"`); n == 0 {
		t.Error("nothing was uploaded because of the index")
	}
}
