package wal

import (
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
)

// TestOnDisk writes a log to a real disk with each engine and durability, and
// recovers it after a kill of the process and after a drain.
func TestOnDisk(t *testing.T) {
	for _, engine := range []blockfs.Engine{blockfs.IOURing, blockfs.Pwrite, blockfs.Buffered} {
		for _, durability := range []Durability{Sync, Interval} {
			t.Run(string(engine)+"/"+string(durability), func(t *testing.T) {
				dir, err := blockfs.OpenDir(t.TempDir(), blockfs.Options{Engine: engine}, discard())
				if err != nil {
					t.Fatal(err)
				}
				defer dir.Close()
				cfg, src, h := small(), &source{}, &history{}
				cfg.FsyncOnWrite, cfg.CapacityBytes = durability == Sync, 4<<20
				r := start(opened(t, dir, cfg))
				r.settled = h.settled
				if name := r.log.writer.Name(); name != string(engine) {
					t.Errorf("the engine was %s", name)
				}
				var under []<-chan error
				for i := range 100 {
					g := src.group(i*100, 3000)
					h.submitted(g)
					under = append(under, r.submit(g))
				}
				for _, c := range under {
					if err := <-c; err != nil {
						t.Fatal(err)
					}
				}
				killed := open(t, dir, cfg) // no writes are in progress
				got, report, err := recovered(killed)
				if err := h.check(got, h.state()); err != nil {
					t.Errorf("after kill -9: %v, %+v", err, report)
				}
				if err != nil {
					t.Error(err)
				}
				killed.Close()
				r.close(t)
				got, report = recoverAll(t, dir, cfg)
				if err := h.check(got, h.state()); err != nil || len(report.Corruptions) > 0 || report.Torn {
					t.Errorf("after a drain: %v, %+v", err, report)
				}
			})
		}
	}
}

// Groups of 64 KiB take at most 10 % more on disk.
func TestWriteAmplification(t *testing.T) {
	dir, err := blockfs.OpenDir(t.TempDir(), blockfs.Options{}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cfg, src := DefaultConfig(), &source{}
	cfg.SegmentSizeBytes, cfg.CapacityBytes = 4<<20, 64<<20
	r := start(opened(t, dir, cfg))
	var groups []*flow.Group
	for range 100 {
		groups = append(groups, src.group(16<<10, 16<<10, 16<<10, 16<<10))
	}
	var payload int64
	for _, a := range appends(groups...) {
		payload += int64(len(a.Batch))
	}
	r.write(t, groups...)
	written := int64(r.log.End()) // including segment headers and unused ends of segments
	if payload < 100*64<<10 || written*10 > payload*11 {
		t.Errorf("%d bytes were written for %d", written, payload)
	}
	t.Logf("amplification %.3f", float64(written)/float64(payload))
	r.close(t)
}
