package upload

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

// come notes records arriving at a rate, for d.
func come(p *pace, perSecond int64, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		p.note(time.Now(), perSecond/100)
	}
}

// reads returns how long reading size bytes takes at the current pace.
func reads(t *testing.T, p *pace, size int) time.Duration {
	t.Helper()
	began := time.Now()
	n, err := io.Copy(io.Discard, p.reader(t.Context(), io.NopCloser(bytes.NewReader(make([]byte, size)))))
	if err != nil || n != int64(size) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	return time.Since(began)
}

func TestUploadsFollowTheArrivalRate(t *testing.T) {
	const mib = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		want := func(when string, got, want time.Duration) {
			t.Helper()
			if got > want*11/10+20*time.Millisecond || got < want*9/10-20*time.Millisecond-paceBurst {
				t.Errorf("%s: took %s, want %s", when, got, want)
			}
		}
		p := newPace()
		want("nothing has arrived yet", reads(t, p, 256*mib), 0)
		come(p, 100*mib, 3*time.Second)
		want("three times the arrival rate", reads(t, p, 300*mib), time.Second)
		come(p, 20*mib, 2*time.Second)
		want("soon after the rate drops", reads(t, p, 60*mib), time.Second)
		come(p, mib, 5*time.Second)
		want("no slower than the floor", reads(t, p, 64*mib), 2*time.Second)
		p.lift(time.Now())
		come(p, mib, paceLifted/2)
		want("lifted", reads(t, p, 256*mib), 0)
		come(p, mib, paceLifted)
		want("no longer lifted", reads(t, p, 64*mib), 2*time.Second)
	})
}

// The WAL may stay full for a reason that uploads cannot fix; small cuts are then
// rare.
func TestPressureMakesFewSmallCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := TestedConfig()
		l := NewLedger(cfg, clock.System{}, prometheus.NewRegistry())
		s, end := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0), partition.Position(0)
		cuts := 0
		for range 1000 { // ten seconds
			end += 1000
			l.Recovered(s, end, 1000)
			l.Hurry(Pressure)
			if c, _ := l.due(); c != nil {
				cuts++
				l.done(c)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if cuts < 8 || cuts > 12 {
			t.Errorf("%d cuts in ten seconds", cuts)
		}
		l.Recovered(s, end+1, cfg.SizeBytes/4)
		l.Hurry(Pressure)
		if c, _ := l.due(); c == nil {
			t.Error("a large cut had to wait")
		}
		l.Recovered(s, end+2, cfg.SizeBytes/4)
		l.Hurry(Pressure)
		if c, _ := l.due(); c != nil {
			t.Error("a cut was closed while another is in progress")
		}
		l.Hurry("test")
		if c, _ := l.due(); c == nil {
			t.Error("an explicit request had to wait")
		}
	})
}
