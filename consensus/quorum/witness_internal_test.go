package quorum

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sluicemq/sluice/consensus/guard"
)

func witnessed(t *testing.T) (*witness, *guard.File) {
	t.Helper()
	dir := t.TempDir()
	g, err := guard.Create(filepath.Join(dir, "guard"))
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{path: filepath.Join(dir, "witness"), log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, g
}

var aReplica = guard.Replica{Shard: 1, ID: 1}

// After a failed write, later ones succeed.
func TestAWitnessThatCouldNotBeWrittenIsMadeAnew(t *testing.T) {
	w, g := witnessed(t)
	note := func(index uint64) error {
		t.Helper()
		if err := g.Save(map[guard.Replica]guard.Mark{aReplica: {Index: index}}); err != nil {
			t.Fatal(err)
		}
		return w.attest(g)
	}
	if err := note(1); err != nil {
		t.Fatal(err)
	}
	if err := w.file.Close(); err != nil { // simulates a failing disk
		t.Fatal(err)
	}
	if err := note(2); err == nil {
		t.Error("a failed write was not reported")
	}
	if err := note(3); err != nil {
		t.Error(err)
	}
	if m := w.file.Mark(aReplica); m.Index != 3 {
		t.Errorf("the witness has %+v", m)
	}
}

// When attest returns, its marks are on disk, however many calls run at once.
func TestAWitnessNeverGoesBack(t *testing.T) {
	w, g := witnessed(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	index := uint64(0)
	for range 8 {
		all.Go(func() {
			for range 20 {
				mu.Lock()
				index++
				mine := index
				err := g.Save(map[guard.Replica]guard.Mark{aReplica: {Index: mine}})
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				if err := w.attest(g); err != nil {
					t.Error(err)
					return
				}
				w.mu.Lock()
				if known := w.file.Mark(aReplica).Index; known < mine {
					t.Errorf("the witness has %d after %d was attested", known, mine)
				}
				w.mu.Unlock()
			}
		})
	}
	all.Wait()
}
