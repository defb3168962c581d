//go:build stores

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	sluice "github.com/sluicemq/sluice/sdk/go"
)

// hangs is how long a request to a store takes that hangs.
const hangs = time.Hour

// A broker with a store that hangs is asked to stop: whatever waits for the store, and
// whoever waits for the broker, it ends in seconds and in good order, and what was
// acknowledged is there when it runs again.
func TestAStopDoesNotWaitForTheStoreInS3(t *testing.T) {
	for _, x := range []struct {
		name  string
		more  int // objects
		holds []holder
	}{
		{"readers of history", 0, []holder{searchByTime, readHistory}},
		{"an upload", 0, []holder{uploadNow}},
		{"clients that take no answers", 0, []holder{takeNoAnswers}},
		{"all at once", 3, []holder{readHistory, searchByTime, uploadNow, compactNow, takeNoAnswers, askAdmin}},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := &faults{}
			b := f.behind(t)
			b.t = t
			b.history("t", 4, 1000)
			for range x.more {
				b.moreHistory("t", 1000)
			}
			b.createTopic("late", 1)
			f.pause.Store(int64(hangs))
			late := 0
			for _, h := range x.holds {
				late += h(t, b, f)
			}
			b.stopsInTime()
			f.pause.Store(0)
			b = b.restarted(t)
			consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 1000*(1+x.more))
			if late > 0 {
				consume(t, b.client(kgo.ConsumeTopics("late"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), late)
			}
		})
	}
}

// A start that waits for a store that hangs ends as soon as it is asked to.
func TestAStartThatWaitsForTheStoreIsStoppedInS3(t *testing.T) {
	f := &faults{}
	b := f.behind(t)
	b.stop()
	f.pause.Store(int64(hangs))
	b = b.begin(t)
	until(t, b, "it asks the store", time.Minute, func() bool { return f.held.Load() > 0 })
	b.stopsInTime()
}

// holder does something that the broker cannot finish, and returns how many records it
// has got acknowledged.
type holder func(t *testing.T, b *broker, f *faults) (late int)

// both returns a connection over each transport.
func (b *broker) both(t *testing.T) []net.Conn {
	t.Helper()
	tcp, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	_ = tcp.(*net.TCPConn).SetReadBuffer(4 << 10)
	quic, err := b.quicDialer(t).DialContext(deadline(t), "udp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { quic.Close() })
	return []net.Conn{tcp, quic}
}

func (b *broker) quicDialer(t *testing.T) *sluice.Dialer {
	t.Helper()
	d, err := sluice.NewDialer(sluice.Config{Brokers: []string{b.addr}, DataDirectory: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// readHistory asks for what is in objects.
func readHistory(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	before := f.held.Load()
	for _, c := range b.both(t) {
		if _, err := c.Write(fetchFrame("t", 4, -1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dialer := range []func(context.Context, string, string) (net.Conn, error){(&net.Dialer{}).DialContext, b.quicDialer(t).DialContext} {
		cl := b.client(kgo.Dialer(dialer), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		go cl.PollFetches(deadline(t)) // it gets nothing
	}
	until(t, b, "the store is asked", 30*time.Second, func() bool { return f.held.Load() > before || before > 0 })
	return 0
}

// searchByTime asks for the first offset of a time, which is in an object.
func searchByTime(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	before := f.held.Load()
	adm := kadm.NewClient(b.client())
	go func() { _, _ = adm.ListOffsetsAfterMilli(deadline(t), 1, "t") }() // it is not answered
	if before == 0 {                                                      // else another may ask for the same
		until(t, b, "the store is asked", 30*time.Second, func() bool { return f.held.Load() > before })
	}
	return 0
}

// uploadNow has records acknowledged whose upload begins.
func uploadNow(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	cl := b.client(kgo.DefaultProduceTopic("late"))
	for i := range 100 {
		if err := cl.ProduceSync(deadline(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, b, "an upload", 30*time.Second, func() bool { return f.puts.Load() > 0 }) // history made them due within a second
	return 100
}

// compactNow has objects merged.
func compactNow(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	before := f.held.Load()
	b.must("", "config", "set", "limits", "compact/plan", "min_objects=4", "check_interval_ms=1000", "--admin", b.admin)
	b.must("", "config", "set", "limits", "compact/compact", "paused=0", "--admin", b.admin)
	until(t, b, "a compaction", 30*time.Second, func() bool { return f.held.Load() > before })
	return 0
}

// takeNoAnswers asks for more than fits into any buffer on the way, and reads nothing.
func takeNoAnswers(t *testing.T, b *broker, _ *faults) int {
	t.Helper()
	b.createTopic("large", 1)
	cl := b.client(kgo.DefaultProduceTopic("large"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 20 {
		cl.Produce(t.Context(), &kgo.Record{Value: make([]byte, 900_000)}, nil)
	}
	if err := cl.Flush(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range b.both(t) {
		_ = c.SetWriteDeadline(time.Now().Add(3 * time.Second)) // the broker may not read all of them
		for range 64 {
			if _, err := c.Write(fetchFrame("large", 1, -1)); err != nil {
				break
			}
		}
	}
	return 0
}

// askAdmin begins what takes an operator long.
func askAdmin(t *testing.T, b *broker, _ *faults) int {
	t.Helper()
	ask := func(method, path, body string) {
		req, err := http.NewRequestWithContext(deadline(t), method, "http://"+b.admin+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil { // it may be cut off
			resp.Body.Close()
		}
	}
	go ask(http.MethodGet, "/debug/pprof/trace?seconds=60", "")
	go ask(http.MethodPost, "/objects/give-up", `{"topic":"t","partition":0,"base_offset":0,"end_offset":10}`)
	return 0
}
