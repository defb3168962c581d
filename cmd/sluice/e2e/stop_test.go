package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stopsInTime sends SIGTERM and checks that the broker exits cleanly within stopTime.
func (b *broker) stopsInTime() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	began := time.Now()
	select {
	case err := <-b.over:
		b.cmd = nil
		if err != nil {
			b.t.Fatalf("stop: %v\n%s", err, b.log)
		}
		b.t.Logf("stopped after %s", time.Since(began).Round(time.Millisecond))
	case <-time.After(stopTime):
		_ = b.cmd.Process.Signal(syscall.SIGQUIT) // prints its goroutines
		<-b.over
		b.cmd = nil
		b.t.Fatalf("the broker did not stop within %s\n%s", stopTime, b.log)
	}
}

// stopTime is the limit for a stop: five seconds, doubled for busy machines.
const stopTime = 10 * time.Second

// begin starts a new process with the same settings, without waiting until it is ready.
func (b *broker) begin(t testing.TB) *broker {
	t.Helper()
	n := launch(t, "broker", b.text, b.admin)
	n.dir, n.addr, n.text = b.dir, b.addr, b.text
	return n
}

// restarted is like begin, but waits until the broker is ready.
func (b *broker) restarted(t testing.TB) *broker {
	t.Helper()
	n := b.begin(t)
	n.awaitReady("broker")
	return n
}

// Producers wait because the WAL is full and the object store is unavailable. A stop does not wait for
// space: producers retry after the restart and lose nothing.
func TestAStopDoesNotWaitForRoomInTheWAL(t *testing.T) {
	b, text := smallWAL(t)
	b.text = text
	b.must("", "topic", "create", "t")
	objects := filepath.Join(b.dir, "objects")
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objects, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := produceSteadily(b, "t")
	last, since := int64(-1), time.Now()
	until(t, b, "producers wait", time.Minute, func() bool {
		if n := p.acked.Load(); n != last {
			last, since = n, time.Now()
		}
		return last > 100 && time.Since(since) > 2*time.Second
	})
	b.stopsInTime()
	if err := os.Remove(objects); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(objects+".away", objects); err != nil {
		t.Fatal(err)
	}
	b = b.restarted(t)
	until(t, b, "the producer goes on", time.Minute, func() bool { return p.acked.Load() > last+10 })
	p.stop()
	if err := <-p.over; err != nil {
		t.Fatal(err)
	}
	consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), int(p.acked.Load()))
}

// A broker that is stopped at any point of its start exits cleanly.
func TestAStartIsStopped(t *testing.T) {
	b := newBroker(t)
	b.must("1\n2\n3\n", "produce", "t")
	b.kill()
	for _, after := range []time.Duration{20 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
		if err := b.launch(); err != nil {
			t.Fatal(err)
		}
		until(t, b, "it begins", 30*time.Second, func() bool { // listeners open first
			c, err := net.Dial("tcp", b.admin)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		<-time.After(after) // at any point of the start
		b.stopsInTime()
	}
	b.start()
	consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 3)
}

// The log says how long a stop took, and how long it took to drain each pipeline.
func TestAStopSaysWhatItTook(t *testing.T) {
	b, _ := reloadable(t)
	b.stopsInTime()
	for _, want := range []string{"msg=stopping", "msg=draining graph=write", "msg=drained graph=write took=", "msg=drained graph=read took=", "msg=stopped took="} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, b.log)
		}
	}
}
