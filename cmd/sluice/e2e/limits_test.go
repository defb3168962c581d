package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Changes at run time are validated like a settings file: against the bounds shown by GET /limits,
// and against rules that relate several settings.
func TestLimitsAreCheckedAsAFileIs(t *testing.T) {
	b := newBroker(t)
	post := func(graph, stage, key string, n int64) (int, string) {
		t.Helper()
		return ask(t, http.MethodPost, b.admin, "/limits", fmt.Sprintf(`{"graph":%q,"stage":%q,"set":{%q:%d}}`, graph, stage, key, n), "Content-Type", "application/json")
	}
	for _, x := range []struct {
		graph, stage, key string
		n                 int64
		names             string
	}{
		{"upload", "ledger", "size_bytes", 1<<30 + 1, "wal.capacity_bytes (1073741824)"},
		{"write", "batch", "max_bytes", 128<<20 + 1, "wal.segment_size_bytes (134217728)"},
		{"write", "batch", "max_bytes", 1, "must not be below stages.batch.target_bytes"},
	} {
		if status, text := post(x.graph, x.stage, x.key, x.n); status != http.StatusUnprocessableEntity || !strings.Contains(text, x.names) {
			t.Errorf("%s/%s %s=%d: %d: %s", x.graph, x.stage, x.key, x.n, status, text)
		}
	}
	var all []struct {
		Graph, Stage, Key, Setting string
		Value, Least, Most         int64
	}
	_, text := ask(t, http.MethodGet, b.admin, "/limits", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) < 25 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, l := range all {
		if l.Value < l.Least || l.Value > l.Most {
			t.Errorf("%+v", l)
		}
		for _, n := range []int64{l.Least - 1, l.Most + 1} {
			if status, text := post(l.Graph, l.Stage, l.Key, n); status != http.StatusUnprocessableEntity || !strings.Contains(text, l.Setting) {
				t.Errorf("%+v: %d: %d: %s", l, n, status, text)
			}
		}
		if status, text := post(l.Graph, l.Stage, l.Key, l.Value); status != http.StatusOK {
			t.Errorf("%+v as it is: %d: %s", l, status, text)
		}
	}
}
