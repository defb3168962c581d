package wal

import (
	"context"
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

func inspected(t *testing.T, fs blockfs.FS) (groups []GroupInfo, batches []BatchInfo, report Report) {
	t.Helper()
	report, err := Inspect(context.Background(), fs, func(v any) error {
		switch v := v.(type) {
		case GroupInfo:
			groups = append(groups, v)
		case BatchInfo:
			batches = append(batches, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return groups, batches, report
}

// Inspect sees the same as Recover, leaves the log unchanged, and reports the location of
// damage.
func TestInspectSeesWhatRecoverSees(t *testing.T) {
	fs, src := crashfs.New(1<<20), &source{}
	r := start(opened(t, fs, small()))
	for range 6 {
		r.write(t, src.group(3000, 40, 900))
	}
	_, batches, _ := inspected(t, fs) // while the log is in use
	if len(batches) != 18 {
		t.Errorf("%d batches of a log in use", len(batches))
	}
	r.close(t)
	groups, batches, report := inspected(t, fs)
	again, _, second := inspected(t, fs)
	if len(again) != len(groups) || second.End != report.End {
		t.Error("a second inspection differs")
	}
	got, want := recoverAll(t, fs, small())
	if report.Batches != want.Batches || report.Bytes != want.Bytes || report.Groups != want.Groups || report.End != want.End ||
		report.LastSequence != want.LastSequence || report.Torn != want.Torn {
		t.Errorf("inspected %+v\nrecovered %+v", report, want)
	}
	for i, b := range batches {
		if b.Error != "" || b.Position != got[i].Position || b.Partition != got[i].Partition.Index || b.BaseOffset != got[i].Base {
			t.Errorf("batch %d: %+v, recovered at %d", i, b, got[i].Position)
		}
	}

	at := groups[1]
	fs.Damage(at.Segment, int64(at.Position)+int64(at.Bytes)-3, 1, func(b []byte) { b[0] ^= 1 })
	groups, batches, report = inspected(t, fs)
	if len(report.Corruptions) != 1 || groups[1].Error == "" || groups[0].Error != "" || groups[2].Error != "" {
		t.Errorf("damage in the second group: %+v, %+v", report, groups)
	}
	for i, b := range batches {
		if damaged := i == 5; damaged != (b.Error != "") {
			t.Errorf("batch %d: %q", i, b.Error)
		}
	}
}

func TestInspectEmptyDirectory(t *testing.T) {
	if groups, _, report := inspected(t, crashfs.New(1<<20)); len(groups) != 0 || report.Segments != 0 {
		t.Errorf("%+v in an empty directory", report)
	}
	fs, stop := crashfs.New(1<<20), errors.New("enough")
	r := start(opened(t, fs, small()))
	r.write(t, (&source{}).group(10))
	r.close(t)
	if _, err := Inspect(context.Background(), fs, func(any) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of emit: %v", err)
	}
}
