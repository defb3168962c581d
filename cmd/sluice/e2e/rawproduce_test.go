package e2e

import (
	"bufio"
	enc "encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/internal/record"
)

// wire is a TCP connection that sends pre-encoded Produce requests, so that the client uses next to no
// CPU compared to the broker.
type wire struct {
	conn    net.Conn
	answers *bufio.Reader
	frames  [][]byte // sent round-robin
	next    int
	buf     []byte
	resp    kmsg.ProduceResponse
}

// dial returns a new connection that sends frames.
func (b *broker) dial(frames ...[]byte) *wire {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return &wire{conn: conn, answers: bufio.NewReader(conn), frames: frames, resp: kmsg.ProduceResponse{Version: produceVersion}}
}

const produceVersion = 8 // the last one without tagged fields

// produceFrame encodes a Produce request with acks=all and the same batch for each of a number of
// consecutive partitions of a topic, starting with first.
func produceFrame(topic string, first, partitions int, batch record.Batch) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = produceVersion, -1, 60_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	for p := range partitions {
		part := kmsg.NewProduceRequestTopicPartition()
		part.Partition, part.Records = int32(first+p), batch
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(nil, req, 0)
}

// randomBatch returns a batch of incompressible 1 KiB records. Its total size is about the given number
// of bytes.
func randomBatch(t testing.TB, bytes int) record.Batch {
	t.Helper()
	random, made := rand.NewChaCha8([32]byte{'b'}), record.NewBuilder()
	for left := bytes - record.HeaderSize; left > 0; left -= 1 << 10 {
		value := make([]byte, max(1, min(left, 1<<10)-10)) // a record adds some 10 bytes to its value
		_, _ = random.Read(value)                          // never fails
		made.Add(time.Now().UnixMilli(), nil, value)
	}
	batch, err := made.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// send sends the next request.
func (w *wire) send() error {
	f := w.frames[w.next%len(w.frames)]
	w.next++
	_, err := w.conn.Write(f)
	return err
}

// receive waits for the next response and returns an error if a partition in it has one.
func (w *wire) receive() error {
	var head [8]byte // size and correlation id
	if _, err := io.ReadFull(w.answers, head[:]); err != nil {
		return err
	}
	n := int(enc.BigEndian.Uint32(head[:])) - 4
	if cap(w.buf) < n {
		w.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(w.answers, w.buf[:n]); err != nil {
		return err
	}
	w.resp.Topics = w.resp.Topics[:0]
	if err := w.resp.ReadFrom(w.buf[:n]); err != nil {
		return err
	}
	for _, t := range w.resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// flatOut keeps a number of requests outstanding on each wire for d, and returns the rate of
// responses.
func flatOut(t testing.TB, wires []*wire, outstanding int, d time.Duration) (perSecond float64) {
	t.Helper()
	counts, errs := make([]int, len(wires)), make([]error, len(wires))
	began := time.Now()
	var all sync.WaitGroup
	for i, w := range wires {
		all.Go(func() {
			sent := 0
			for ; sent < outstanding && errs[i] == nil; sent++ {
				errs[i] = w.send()
			}
			for errs[i] == nil && counts[i] < sent {
				if errs[i] = w.receive(); errs[i] != nil {
					return
				}
				counts[i]++
				if time.Since(began) < d {
					errs[i] = w.send()
					sent++
				}
			}
		})
	}
	all.Wait()
	took, n := time.Since(began).Seconds(), 0
	for i := range wires {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		n += counts[i]
	}
	return float64(n) / took
}

// latencies holds one value per request, in seconds.
type latencies struct {
	scheduled []float64 // from the time it was due to its response
	sent      []float64 // from the time it was sent to its response
	late      []float64 // from the time it was due to when it was sent
}

// due is an outstanding request.
type due struct{ at, sent time.Time }

// paced sends n requests at fixed times, round-robin over the wires, without waiting for earlier
// responses.
func paced(t testing.TB, wires []*wire, n int, perSecond float64) *latencies {
	t.Helper()
	under := make([]chan due, len(wires))
	errs := make([]error, len(wires)+1)
	got := make([]latencies, len(wires))
	var all sync.WaitGroup
	for i, w := range wires {
		under[i] = make(chan due, n/len(wires)+1) // never full
		all.Go(func() {
			for d := range under[i] {
				if errs[i] = w.receive(); errs[i] != nil {
					return
				}
				now := time.Now()
				got[i].scheduled = append(got[i].scheduled, now.Sub(d.at).Seconds())
				got[i].sent = append(got[i].sent, now.Sub(d.sent).Seconds())
				got[i].late = append(got[i].late, d.sent.Sub(d.at).Seconds())
			}
		})
	}
	all.Go(func() { errs[len(wires)] = pace(wires, under, n, perSecond) })
	all.Wait()
	sum := &latencies{}
	for i, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
		if i < len(got) {
			sum.add(&got[i])
		}
	}
	return sum
}

func (l *latencies) add(m *latencies) {
	l.scheduled = append(l.scheduled, m.scheduled...)
	l.sent = append(l.sent, m.sent...)
	l.late = append(l.late, m.late...)
}

// pace runs on its own thread, whose sleeps are accurate to microseconds. Go's timers are up to a
// millisecond late while the runtime waits for the network.
func pace(wires []*wire, under []chan due, n int, perSecond float64) error {
	runtime.LockOSThread() // never unlocked: the thread, with its timer slack, exits with the goroutine
	defer func() {
		for _, u := range under {
			close(u)
		}
	}()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	began, interval := time.Now(), float64(time.Second)/perSecond
	for i := range n {
		d := due{at: began.Add(time.Duration(float64(i) * interval))}
		for wait := time.Until(d.at); wait > 0; wait = time.Until(d.at) {
			pause := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&pause, nil) // a signal ends it early
		}
		d.sent = time.Now()
		under[i%len(wires)] <- d
		if err := wires[i%len(wires)].send(); err != nil {
			return err
		}
	}
	return nil
}
