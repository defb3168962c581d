package object

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/sluicemq/sluice/internal/record"
)

var update = flag.Bool("update", false, "write testdata again: objects that old builds wrote no longer prove that this one reads them")

// A stored object stays readable, and this build writes the same bytes.
func TestGolden(t *testing.T) {
	now, _ := write(t,
		content{partition(2, 0), []record.Batch{batch(t, 100, 3, 5), batch(t, 103, 2, 5)}},
		content{partition(1, 7), []record.Batch{batch(t, 0, 1, 8), batch(t, 5, 1, 8)}})
	lines, err := describe(now)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/v1.object", now, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/v1.json", []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile("testdata/v1.object")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := describe(stored)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the stored object reads as\n%s\nwant\n%s", got, want)
	}
	if !bytes.Equal(now, stored) {
		t.Errorf("this build writes it differently:\n%s", lines)
	}
}
