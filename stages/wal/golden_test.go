package wal

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/partition"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden segment of the current version and the inspection output of all")

// goldenFiles returns the files with the used blocks of a segment written by version v,
// and with the output of Inspect for it.
func goldenFiles(v int) (segment, told string) {
	name := filepath.Join("testdata", fmt.Sprintf("v%d", v))
	return name + ".wal", name + ".jsonl"
}

// writeGolden writes a log that uses every feature of this version's format.
func writeGolden(t *testing.T) {
	fs, src := crashfs.New(1<<20), &source{}
	r := start(opened(t, fs, small()))
	r.write(t, src.group(10, 5000, 0))
	if err := r.log.Truncate(t.Context(), partitionOf(1), 1); err != nil {
		t.Fatal(err)
	}
	r.write(t, src.group(100))
	r.close(t)
	f, err := fs.Open(segmentName(0))
	if err != nil {
		t.Fatal(err)
	}
	used := make([]byte, r.log.End())
	if _, err := f.ReadAt(used, 0); err != nil {
		t.Fatal(err)
	}
	segment, _ := goldenFiles(version)
	if err := os.WriteFile(segment, used, 0o644); err != nil {
		t.Fatal(err)
	}
}

// goldenFS returns a file system that contains only the segment.
func goldenFS(t *testing.T, used []byte) *crashfs.FS {
	t.Helper()
	fs := crashfs.New(1 << 20)
	f, err := fs.Create(segmentName(0), 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	block := blockfs.Aligned(len(used))
	copy(block, used)
	if err := f.WriteAt(block, 0, blockfs.Durable); err != nil {
		t.Fatal(err)
	}
	return fs
}

func inspectedText(t *testing.T, used []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	report, err := Inspect(t.Context(), goldenFS(t, used), func(v any) error { return enc.Encode(v) })
	if err != nil {
		t.Fatal(err)
	}
	report.Took = 0
	if err := enc.Encode(report); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestGolden reads what every version wrote, and checks that the current one
// still encodes the same bytes. To regenerate: go test ./stages/wal -run
// TestGolden -rewrite
func TestGolden(t *testing.T) {
	if *rewrite {
		writeGolden(t)
	}
	for v := 1; v <= version; v++ {
		segment, told := goldenFiles(v)
		used, err := os.ReadFile(segment)
		if err != nil {
			t.Fatal(err)
		}
		if *rewrite {
			if err := os.WriteFile(told, inspectedText(t, used), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(told)
		if err != nil {
			t.Fatal(err)
		}
		if got := inspectedText(t, used); !bytes.Equal(got, want) {
			t.Errorf("version %d reads as\n%s\nwant\n%s", v, got, want)
		}
		if v == version {
			checkEncoders(t, used)
		}
		// A log written by an older version can be appended to.
		fs, src := goldenFS(t, used), &source{made: 1000}
		d := deps(fs, nothing)
		d.AcceptLost = true // it had no guard
		l, err := Open(fs, small(), d)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := recovered(l); err != nil {
			t.Fatal(err)
		}
		r := start(l)
		r.write(t, src.group(10))
		r.close(t)
		if got, report := recoverAll(t, fs, small()); got[len(got)-1].Base != 1000 || len(report.Corruptions) > 0 {
			t.Errorf("version %d, continued: %+v", v, report)
		}
	}
}

// checkEncoders checks that decoding and encoding does not change the bytes.
func checkEncoders(t *testing.T, used []byte) {
	t.Helper()
	s, err := decodeSegment(used)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, blockfs.BlockSize)
	if s.encode(block); !bytes.Equal(block, used[:blockfs.BlockSize]) {
		t.Error("the segment header encodes differently")
	}
	for at := blockfs.BlockSize; at < len(used); {
		id := identity{s.wal, s.position}
		id.position += partition.Position(at)
		h, err := decodeFixed(used[at:], id, int64(len(used)-at))
		if err != nil {
			t.Fatal(err)
		}
		again := bytes.Clone(used[at : at+h.end()])
		if h.encode(again); !bytes.Equal(again, used[at:at+h.end()]) {
			t.Errorf("the head at %d encodes differently", at)
		}
		at += h.padded()
	}
}
