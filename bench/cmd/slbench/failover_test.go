package main

import (
	"bytes"
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
