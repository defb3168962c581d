package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// A single node of Sluice is killed and frozen under load; every acknowledged record is there
// afterwards, and the outages are those of its restarts.
func TestFailoverOfOneNode(t *testing.T) {
	sluice := filepath.Join(t.TempDir(), "sluice")
	build(t, "../../..", sluice, "./cmd/sluice")
	for _, fault := range []string{"kill", "stop"} {
		var out bytes.Buffer
		err := dispatch(t.Context(), []string{"failover", "-systems", "sluice", "-nodes", "1", "-sluice", sluice, "-fault", fault,
			"-times", "2", "-partitions", "3", "-rate", "100", "-settle", "500ms", "-dir", t.TempDir(), "-json"}, &out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		for _, want := range []string{fault + " 2/2: node 1, 3 partitions led", ", 0 given up", `"system":"sluice"`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
	}
}

func TestFailoverUsage(t *testing.T) {
	for _, args := range [][]string{{"-fault", "burn"}, {"-times", "0"}, {"-systems", "rabbit"}} {
		err := dispatch(t.Context(), append([]string{"failover"}, args...), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), errUsage.Error()) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// Replicated writes are measured on a cluster of one, which is what there is everywhere.
func TestClusterOfOneNode(t *testing.T) {
	sluice := filepath.Join(t.TempDir(), "sluice")
	build(t, "../../..", sluice, "./cmd/sluice")
	var out bytes.Buffer
	err := dispatch(t.Context(), []string{"cluster", "-systems", "sluice", "-nodes", "1", "-sluice", sluice, "-rounds", "1",
		"-duration", "1", "-dir", t.TempDir(), "-json"}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var runs []clusterRun
	if err := json.Unmarshal(out.Bytes()[bytes.IndexByte(out.Bytes(), '['):], &runs); err != nil || len(runs) != 1 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	// The data directory may be in memory, so that nothing is written to a disk.
	if r := runs[0]; r.Peak.Acked == 0 || r.Peak.ServerCPU == 0 || r.Half.Acked == 0 || r.Half.RecordsPerS > r.Peak.RecordsPerS*0.75 {
		t.Errorf("peak %.0f a second with %.1f s of CPU, half %.0f", r.Peak.RecordsPerS, r.Peak.ServerCPU, r.Half.RecordsPerS)
	}
}
