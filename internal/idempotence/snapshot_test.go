package idempotence

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata again: snapshots that old builds wrote no longer prove that this one reads them")

// A stored snapshot stays readable, and this build writes the same bytes.
func TestSnapshotGolden(t *testing.T) {
	ps := fresh()
	ps.Append(Batch{300, 2, math.MaxInt32 - 1, 1, 1_700_000_000_000}, 70)
	ps.Append(Batch{5, 0, 0, 9, 1_700_000_000_500}, 100)
	ps.Append(Batch{300, 2, 2, 2, 1_700_000_001_000}, 1000)
	got := hex.EncodeToString(ps.Snapshot()) + "\n"
	if *update {
		if err := os.WriteFile("testdata/v1.hex", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("this build writes %s, want %s", got, want)
	}
	stored, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	back := restored(t, stored)
	if base, dup, err := back.Check(sent(300, 2, math.MaxInt32-1, 1)); base != 70 || !dup || err != nil {
		t.Errorf("a retry of a batch whose sequences wrap: %d %v %v", base, dup, err)
	}
	if base, dup, err := back.Check(sent(5, 0, 0, 9)); base != 100 || !dup || err != nil {
		t.Errorf("a retry: %d %v %v", base, dup, err)
	}
}

// However a log is divided into snapshots, in whatever order they are merged, and however
// many batches two of them share, the result is the state of the whole log.
func TestSnapshotsMergeToTheStateOfTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := fresh()
		var snapshots [][]byte
		var log []Batch
		for i := range rapid.IntRange(1, 80).Draw(t, "batches") {
			first := rapid.Int32Range(0, 100).Draw(t, "sequence")
			log = append(log, Batch{rapid.Int64Range(0, 6).Draw(t, "id"), int16(i / 40), first, first + rapid.Int32Range(0, 3).Draw(t, "more"), int64(1000 + i)})
		}
		for i, b := range log {
			whole.Append(b, int64(i*10))
		}
		for at := 0; at < len(log); {
			from := max(0, at-rapid.IntRange(0, 3).Draw(t, "again"))
			at = min(len(log), at+rapid.IntRange(1, 20).Draw(t, "stretch"))
			ps := fresh()
			for i := from; i < at; i++ {
				ps.Append(log[i], int64(i*10))
			}
			snapshots = append(snapshots, ps.Snapshot())
		}
		mixed := rapid.Permutation(snapshots).Draw(t, "order")
		if got := restored(t, mixed...).Snapshot(); !bytes.Equal(got, whole.Snapshot()) {
			t.Fatalf("restored in random order: %x, want %x", got, whole.Snapshot())
		}
		for len(snapshots) > 1 {
			i := rapid.IntRange(0, len(snapshots)-2).Draw(t, "merge")
			m, err := Merge(snapshots[i], snapshots[i+1], 0)
			if err != nil {
				t.Fatal(err)
			}
			snapshots[i] = m
			snapshots = append(snapshots[:i+1], snapshots[i+2:]...)
		}
		if !bytes.Equal(snapshots[0], whole.Snapshot()) {
			t.Fatalf("merged: %x, want %x", snapshots[0], whole.Snapshot())
		}
	})
}

func TestMergeLeavesOutTheExpired(t *testing.T) {
	ps := fresh()
	for id := range int64(100) {
		ps.Append(Batch{id, 0, 0, 0, 1000 + id/10}, id)
	}
	m, err := Merge(nil, ps.Snapshot(), 1002)
	if err != nil {
		t.Fatal(err)
	}
	left := restored(t, m)
	for id := range int64(100) {
		_, dup, _ := left.Check(sent(id, 0, 0, 0))
		if want := id >= 20; dup != want {
			t.Errorf("id %d: known %v, want %v", id, dup, want)
		}
	}
}

func TestRestoreLeavesOutTheExpired(t *testing.T) {
	ps := fresh()
	ps.Append(Batch{1, 0, 0, 0, 1000}, 0)
	ps.Append(Batch{2, 0, 0, 0, 2000}, 1)
	back := fresh()
	if err := back.Restore(ps.Snapshot(), 1500); err != nil || back.Len() != 1 {
		t.Errorf("%d are left: %v", back.Len(), err)
	}
}

func TestLaterSnapshotIsUnsupported(t *testing.T) {
	if err := fresh().Restore([]byte{2, 0}, 0); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

func FuzzSnapshot(f *testing.F) {
	ps := fresh()
	ps.Append(Batch{300, 2, 5, 9, 1_700_000_000_000}, 70)
	ps.Append(Batch{5, 0, 0, 9, 1_700_000_000_500}, 100)
	f.Add(ps.Snapshot(), []byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 1, 0, 0, 0}, ps.Snapshot())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		m, err := Merge(a, b, 0)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("unknown error: %v", err)
			}
			return
		}
		again := fresh()
		if err := again.Restore(m, math.MinInt64); err != nil {
			t.Fatalf("%x and %x make %x: %v", a, b, m, err)
		}
	})
}
