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

// hangs is the delay of each request to a store that hangs.
const hangs = time.Hour

// A broker whose store hangs stops cleanly within seconds, no matter what waits for the store or which
// clients wait for the broker. All acknowledged records are there after a restart.
func TestAStopDoesNotWaitForTheStoreInS3(t *testing.T) {
	for _, x := range []struct {
		name  string
		more  int // further rounds of history
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

// A start that waits for a hanging store can be stopped promptly.
func TestAStartThatWaitsForTheStoreIsStoppedInS3(t *testing.T) {
	f := &faults{}
	b := f.behind(t)
	b.stop()
	f.pause.Store(int64(hangs))
	b = b.begin(t)
	until(t, b, "it asks the store", time.Minute, func() bool { return f.held.Load() > 0 })
	b.stopsInTime()
}

// holder starts something that the broker cannot finish. It returns the number of records that were
// acknowledged in topic late.
type holder func(t *testing.T, b *broker, f *faults) (late int)

// both returns one connection per transport.
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

// readHistory fetches records that are in objects.
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
		go cl.PollFetches(deadline(t)) // gets no records
	}
	until(t, b, "the store is asked", 30*time.Second, func() bool { return f.held.Load() > before || before > 0 })
	return 0
}

// searchByTime looks up an offset by time, which needs an object.
func searchByTime(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	before := f.held.Load()
	adm := kadm.NewClient(b.client())
	go func() { _, _ = adm.ListOffsetsAfterMilli(deadline(t), 1, "t") }() // gets no response
	if before == 0 {                                                      // otherwise others may wait for it
		until(t, b, "the store is asked", 30*time.Second, func() bool { return f.held.Load() > before })
	}
	return 0
}

// uploadNow produces records and waits until an upload has begun.
func uploadNow(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	cl := b.client(kgo.DefaultProduceTopic("late"))
	for i := range 100 {
		if err := cl.ProduceSync(deadline(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// The upload interval is a second since history.
	until(t, b, "an upload", 30*time.Second, func() bool { return f.puts.Load() > 0 })
	return 100
}

// compactNow starts a compaction.
func compactNow(t *testing.T, b *broker, f *faults) int {
	t.Helper()
	before := f.held.Load()
	b.must("", "config", "set", "limits", "compact/plan", "min_objects=4", "check_interval_ms=1000", "--admin", b.admin)
	b.must("", "config", "set", "limits", "compact/compact", "paused=0", "--admin", b.admin)
	until(t, b, "a compaction", 30*time.Second, func() bool { return f.held.Load() > before })
	return 0
}

// takeNoAnswers requests more than all buffers on the way can hold, and reads no response.
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
		_ = c.SetWriteDeadline(time.Now().Add(3 * time.Second)) // the broker may stop reading
		for range 64 {
			if _, err := c.Write(fetchFrame("large", 1, -1)); err != nil {
				break
			}
		}
	}
	return 0
}

// askAdmin sends slow admin requests.
func askAdmin(t *testing.T, b *broker, _ *faults) int {
	t.Helper()
	ask := func(method, path, body string) {
		req, err := http.NewRequestWithContext(deadline(t), method, "http://"+b.admin+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil { // the stop may cut it off
			resp.Body.Close()
		}
	}
	go ask(http.MethodGet, "/debug/pprof/trace?seconds=60", "")
	go ask(http.MethodPost, "/objects/give-up", `{"topic":"t","partition":0,"base_offset":0,"end_offset":10}`)
	return 0
}
