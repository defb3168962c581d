package upload_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/upload"
)

func newState() *partition.State {
	return partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
}

// noted returns a committed group of the given size at a position.
func noted(t *testing.T, pos partition.Position, bytes int64, states ...*partition.State) *flow.Group {
	t.Helper()
	image, err := blockfs.NewPool(1<<20).Get(context.Background(), blockfs.BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	w := &flow.Write{}
	for _, s := range states {
		w.Appends = append(w.Appends, &flow.Append{State: s})
	}
	return &flow.Group{Position: pos, Bytes: bytes, Image: image, Writes: []*flow.Write{w}}
}

// follow runs a ledger and returns a channel of its cuts.
func follow(t *testing.T, cfg upload.Config) (l *upload.Ledger, cuts chan *upload.Cut, stop func()) {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	l = upload.NewLedger(cfg, clock.System{}, prometheus.NewRegistry())
	cuts = make(chan *upload.Cut, 16)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() {
		over <- l.Run(ctx, func(_ context.Context, p pipeline.Parcel[*upload.Cut]) error {
			if cuts <- p.Body; l.Pending() < p.Body.Bytes {
				t.Errorf("%d bytes pending while a cut of %d is in progress", l.Pending(), p.Body.Bytes)
			}
			p.Settle(nil)
			return nil
		})
	}()
	return l, cuts, func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}

func expect(t *testing.T, cuts chan *upload.Cut, reason string, bytes int64, end partition.Position, states int) {
	t.Helper()
	synctest.Wait()
	select {
	case c := <-cuts:
		if c.Reason != reason || c.Bytes != bytes || c.End != end || len(c.States) != states {
			t.Errorf("cut of %d bytes to %d in %d partitions because of %s; want %d, %d, %d, %s",
				c.Bytes, c.End, len(c.States), c.Reason, bytes, end, states, reason)
		}
	default:
		t.Errorf("no cut, want one because of %s", reason)
	}
}

func TestCutsBySizeAgeAndHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := upload.TestedConfig()
		l, cuts, stop := follow(t, cfg)
		defer stop()
		a, b := newState(), newState()

		l.Note(noted(t, 0, cfg.SizeBytes-1, a))
		synctest.Wait()
		if len(cuts) != 0 {
			t.Fatal("a cut before its time")
		}
		l.Note(noted(t, 4096, 1, a, b))
		expect(t, cuts, "size", cfg.SizeBytes, 8192, 2)

		began := time.Now()
		l.Note(noted(t, 8192, 10, b))
		expectAt := began.Add(cfg.Interval)
		time.Sleep(cfg.Interval - time.Second)
		synctest.Wait()
		if len(cuts) != 0 {
			t.Fatal("a cut before its time")
		}
		time.Sleep(time.Until(expectAt))
		expect(t, cuts, "age", 10, 12288, 1)

		l.Hurry("pressure") // there is nothing to cut
		l.Note(noted(t, 12288, 10, b))
		synctest.Wait()
		if len(cuts) != 0 {
			t.Fatal("an old hurry made a cut")
		}
		l.Hurry("pressure")
		expect(t, cuts, "pressure", 10, 16384, 1)
		if l.Pending() != 0 {
			t.Errorf("%d bytes pending", l.Pending())
		}
	})
}

func TestTuneTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, cuts, stop := follow(t, upload.TestedConfig())
		defer stop()
		l.Note(noted(t, 0, 100, newState()))
		synctest.Wait()
		if err := l.Tune(map[string]int64{"interval_ms": 1000}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		expect(t, cuts, "age", 100, 4096, 1)
		for key, v := range map[string]int64{"interval_ms": 1, "size_bytes": 0, "x": 1} {
			if l.Tune(map[string]int64{key: v}) == nil {
				t.Errorf("%s=%d was accepted", key, v)
			}
		}
	})
}
