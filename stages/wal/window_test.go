package wal

import (
	"bytes"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

// Regression test: with groups larger than the window, each slightly larger than the
// previous one, the buffer has the capacity but not yet the length, and the second group
// was taken for corrupt.
func TestRecoveryOfGroupsLargerThanTheWindow(t *testing.T) {
	cfg := DefaultConfig()
	cfg.SegmentSizeBytes, cfg.CapacityBytes = 64<<20, 128<<20
	fs, src := crashfs.New(cfg.CapacityBytes), &source{}
	d := deps(fs, nothing)
	d.Pool = blockfs.NewPool(256 << 20)
	l, err := Open(fs, cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Recover(t.Context(), func(Recovered) error { return nil }); err != nil {
		t.Fatal(err)
	}
	r := start(l)
	size := windowSize / 4
	for _, over := range []int{10_000, 12_000, 16_000, 500_000, 20_000} {
		g := src.group(size, size, 100, size, size+over)
		for _, a := range appends(g) {
			a.Batch = bytes.Clone(a.Batch)
		}
		r.write(t, g)
	}
	want := appends(r.out...)
	r.stop(t)
	got, report := recoverAll(t, fs, cfg)
	if len(report.Corruptions) > 0 {
		t.Errorf("%+v", report.Corruptions)
	}
	if err := same(got, want); err != nil {
		t.Error(err)
	}
	r.release()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
