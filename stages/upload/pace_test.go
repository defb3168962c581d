package upload

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

func TestAnUploadKeepsItsPaceUntilItIsLifted(t *testing.T) {
	const size = 128 << 20
	for _, c := range []struct {
		name   string
		filled time.Duration
		lifted time.Duration // after which the pace is lifted; 0: never
		takes  time.Duration
	}{
		{"three times as fast as it came", 3 * time.Second, 0, time.Second},
		{"no slower than the floor", time.Hour, 0, 4 * time.Second},
		{"as fast as it goes", 0, 0, 0},
		{"lifted", time.Hour, time.Second, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace(size, c.filled)
				if c.lifted > 0 {
					time.AfterFunc(c.lifted, p.lift)
				}
				began := time.Now()
				n, err := io.Copy(io.Discard, p.reader(t.Context(), io.NopCloser(bytes.NewReader(make([]byte, size)))))
				took := time.Since(began)
				if err != nil || n != size || took > c.takes+20*time.Millisecond || took < c.takes-20*time.Millisecond-paceBurst {
					t.Errorf("%d bytes took %s, %v; want %s", n, took, err, c.takes)
				}
			})
		})
	}
}

// A cut that others wait for, or that somebody wants, is not held back.
func TestThePaceIsLiftedWhenThereIsAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		l := NewLedger(cfg, clock.System{}, prometheus.NewRegistry())
		s, end := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0), partition.Position(0)
		fill := func() {
			for range 2 {
				end += partition.Position(cfg.SizeBytes)
				l.Recovered(s, end, cfg.SizeBytes/2)
				time.Sleep(2 * time.Second)
			}
		}
		want := func(c *Cut, limit rate.Limit, when string) {
			t.Helper()
			if got := c.pace.Limit(); got != limit {
				t.Errorf("%s: %.0f bytes a second, want %.0f", when, float64(got), float64(limit))
			}
		}
		pace := rate.Limit(3 * cfg.SizeBytes / 2)
		fill()
		first, _ := l.due()
		want(first, pace, "alone")
		fill()
		want(first, rate.Inf, "when the next one is full")
		fill()
		second, _ := l.due()
		want(second, rate.Inf, "when one waits behind it")
		third, _ := l.due()
		want(third, pace, "alone again")
		l.Hurry("pressure")
		want(third, rate.Inf, "when the log is short of room")
		l.Recovered(s, end+1, 1)
		l.Hurry("test")
		if c, _ := l.due(); c.pace != nil {
			t.Error("a cut that is due at once has a pace")
		}
	})
}
