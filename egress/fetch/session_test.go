package fetch

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// expect fails the test unless the response has exactly the partitions want.
func (b *broker) expect(what string, resp *kmsg.FetchResponse, want ...string) {
	b.t.Helper()
	if resp == nil || resp.ErrorCode != 0 {
		b.t.Fatalf("%s: %+v", what, resp)
	}
	slices.Sort(want)
	if got := b.told(resp); !slices.Equal(got, want) {
		b.t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestSessionTellsOnlyWhatChanged(t *testing.T) {
	for _, version := range []int16{7, 12, 13, newest} {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, nil)
			defer b.Close()
			orders, bills := b.topic("orders", 2), b.topic("bills", 1)
			b.append(orders, 0, 10)
			first := b.fetch(request(version, 0, 0, at{t: orders}, at{t: orders, index: 1}, at{t: bills}))
			b.expect("full", first, "orders/0:10", "orders/1:0", "bills/0:0")
			id := first.SessionID
			if id == 0 {
				t.Fatalf("v%d: no session", version)
			}
			b.expect("the same offsets again", b.fetch(request(version, id, 1)), "orders/0:10")
			start := time.Now()
			b.expect("the reader advanced", b.fetch(request(version, id, 2, at{t: orders, offset: 1})))
			if took := time.Since(start); took != time.Second {
				t.Errorf("an empty response came after %v", took)
			}
			b.append(bills, 0, 20)
			b.append(orders, 1, 30)
			b.expect("news", b.fetch(request(version, id, 3)), "bills/0:20", "orders/1:30")
			b.state(orders, 0).SetLogStart(1)
			b.expect("only the log start changed", b.fetch(request(version, id, 4, at{t: bills, offset: 1}, at{t: orders, index: 1, offset: 1})), "orders/0:0")
			forget := request(version, id, 5)
			forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "bills", TopicID: bills.ID, Partitions: []int32{0, 9}}}
			if version >= 13 {
				forget.ForgottenTopics[0].Topic = ""
			} else {
				forget.ForgottenTopics[0].TopicID = [16]byte{}
			}
			b.append(bills, 0, 20)
			b.expect("forgotten", b.fetch(forget))
			more := b.topic("more", 1)
			b.expect("added", b.fetch(request(version, id, 6, at{t: more})), "more/0:0")
			if n, parts := b.sessions.size(); n != 1 || parts != 3 {
				t.Errorf("%d sessions with %d partitions", n, parts)
			}
		})
	}
}

func TestSessionTellsErrorsUntilTheyAreOver(t *testing.T) {
	b := newBroker(t, nil)
	defer b.Close()
	orders := b.topic("orders", 1)
	b.append(orders, 0, 10)
	first := b.fetch(request(newest, 0, 0, at{t: orders, offset: 5}))
	if p := only(t, first); p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Fatalf("%+v", p)
	}
	if p := only(t, b.fetch(request(newest, first.SessionID, 1))); p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Errorf("again: %+v", p)
	}
	if p := only(t, b.fetch(request(newest, first.SessionID, 2, at{t: orders, offset: 1}))); p.ErrorCode != 0 || p.HighWatermark != 1 {
		t.Errorf("over: %+v", p)
	}
}

func TestSessionFollowsATopicThatIsMadeAgain(t *testing.T) {
	b := newBroker(t, nil)
	defer b.Close()
	orders := b.topic("orders", 1)
	first := b.fetch(request(12, 0, 0, at{t: orders}))
	b.publish(nil)
	b.table.Remove(topic.Partition{Topic: orders.ID})
	if p := only(t, b.fetch(request(12, first.SessionID, 1))); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("deleted: %+v", p)
	}
	again := b.topic("orders", 1)
	b.append(again, 0, 10)
	if p := only(t, b.fetch(request(12, first.SessionID, 2))); p.ErrorCode != 0 || len(p.RecordBatches) != 10 {
		t.Errorf("made again: %+v", p)
	}
}

func TestSessionsOutOfStep(t *testing.T) {
	b := newBroker(t, nil)
	defer b.Close()
	orders := b.topic("orders", 1)
	b.append(orders, 0, 10)
	id := b.fetch(request(12, 0, 0, at{t: orders})).SessionID
	for name, tt := range map[string]struct {
		req  *kmsg.FetchRequest
		want *kerr.Error
	}{
		"unknown session":  {request(12, id+1, 1), kerr.FetchSessionIDNotFound},
		"epoch ahead":      {request(12, id, 2), kerr.InvalidFetchSessionEpoch},
		"ids after names":  {request(13, id, 1), kerr.FetchSessionTopicIDError},
		"an invalid epoch": {request(12, id, math.MaxInt32), kerr.InvalidFetchSessionEpoch},
	} {
		if resp := b.fetch(tt.req); resp.ErrorCode != tt.want.Code {
			t.Errorf("%s: error %d, want %v", name, resp.ErrorCode, tt.want)
		}
	}
	b.expect("the session is still valid", b.fetch(request(12, id, 1)), "orders/0:10")
	b.expect("and ends", b.fetch(request(12, id, finalEpoch, at{t: orders})), "orders/0:10")
	if resp := b.fetch(request(12, id, 2)); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("after the session ended: %+v", resp)
	}
	if n, parts := b.sessions.size(); n != 0 || parts != 0 {
		t.Errorf("%d sessions with %d partitions are left", n, parts)
	}
}

func TestSessionEpochWraps(t *testing.T) {
	if got := epochAfter(math.MaxInt32); got != 1 {
		t.Errorf("the last epoch is followed by %d; 0 would mean a new session", got)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(c *Config) { c.Sessions, c.SessionPartitions, c.SessionIdle = 2, 5, time.Minute })
		defer b.Close()
		orders := b.topic("orders", 6)
		b.append(orders, 0, 10)
		open := func() int32 { return b.fetch(request(newest, 0, 0, at{t: orders}, at{t: orders, index: 1})).SessionID }
		a, c := open(), open()
		if a == 0 || c == 0 || open() != 0 {
			t.Fatal("want exactly two sessions")
		}
		time.Sleep(30 * time.Second)
		b.expect("session a is in use", b.fetch(request(newest, a, 1)), "orders/0:10")
		time.Sleep(31 * time.Second)
		d := open()
		if d == 0 {
			t.Error("no session although another has been idle for a minute")
		}
		if resp := b.fetch(request(newest, c, 1)); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
			t.Errorf("the idle session was not evicted: %+v", resp)
		}
		b.expect("session a still exists", b.fetch(request(newest, a, 2)), "orders/0:10")
		grow := request(newest, a, 3, at{t: orders, index: 2}, at{t: orders, index: 3})
		if resp := b.fetch(grow); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
			t.Errorf("2+4 partitions were admitted with a limit of 5: %+v", resp)
		}
		b.expect("its partitions are released", b.fetch(request(newest, d, 1, at{t: orders, index: 2}, at{t: orders, index: 3}, at{t: orders, index: 4})),
			"orders/0:10", "orders/2:0", "orders/3:0", "orders/4:0")
		if n, parts := b.sessions.size(); n != 1 || parts != 5 {
			t.Errorf("%d sessions with %d partitions", n, parts)
		}
	})
}

func TestSessionsMayBeOff(t *testing.T) {
	b := newBroker(t, func(c *Config) { c.Sessions = 0 })
	defer b.Close()
	orders := b.topic("orders", 1)
	b.append(orders, 0, 10)
	resp := b.fetch(request(newest, 0, 0, at{t: orders}))
	b.expect("full", resp, "orders/0:10")
	if resp.SessionID != 0 {
		t.Errorf("session %d", resp.SessionID)
	}
}

// A client that lost its connection resumes its session before the broker has noticed: the
// second request waits for the turn of the first.
func TestRequestsOfOneSessionTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, nil)
		defer b.Close()
		orders := b.topic("orders", 1)
		id := b.fetch(request(newest, 0, 0, at{t: orders})).SessionID
		ctx, lost := context.WithCancel(t.Context())
		go b.fetchHeld(ctx, request(newest, id, 1))
		synctest.Wait()
		second := make(chan *kmsg.FetchResponse, 1)
		go func() { second <- b.fetch(request(newest, id, 2)) }()
		synctest.Wait()
		lost()
		b.append(orders, 0, 10)
		b.expect("second", <-second, "orders/0:10")
	})
}

func TestDroppingASessionThatIsPolledEndsItAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, nil)
		defer b.Close()
		orders := b.topic("orders", 1)
		id := b.fetch(request(newest, 0, 0, at{t: orders})).SessionID
		b.sessions.mu.Lock()
		s := b.sessions.byID[id]
		b.sessions.mu.Unlock()
		watched := s.slots[0]
		polled, next := make(chan *kmsg.FetchResponse, 1), make(chan *kmsg.FetchResponse, 1)
		go func() { polled <- b.fetch(request(newest, id, 1)) }()
		synctest.Wait()
		go func() { next <- b.fetch(request(newest, id, 2)) }()
		synctest.Wait()
		b.sessions.end(id)
		if resp := <-next; resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
			t.Errorf("the request that waited for its turn: %+v", resp)
		}
		if !watched.watch.Armed() {
			t.Error("the poll lost its watch")
		}
		b.append(orders, 0, 10)
		b.expect("the poll", <-polled, "orders/0:10")
		synctest.Wait()
		if watched.watch.Armed() {
			t.Error("the partition is still watched")
		}
	})
}

func TestNoPartitionIsStarved(t *testing.T) {
	b := newBroker(t, nil)
	defer b.Close()
	orders := b.topic("orders", 4)
	var parts []at
	for i := range int32(4) {
		parts = append(parts, at{t: orders, index: i})
		b.append(orders, i, 100)
	}
	limited := func(req *kmsg.FetchRequest) *kmsg.FetchRequest { req.MaxBytes = 150; return req }
	resp := b.fetch(limited(request(newest, 0, 0, parts...)))
	id := resp.SessionID
	seen := make(map[string]bool)
	for epoch := int32(1); epoch <= 4; epoch++ {
		for _, what := range b.told(b.fetch(limited(request(newest, id, epoch)))) {
			seen[what] = true
		}
	}
	for i := range 4 {
		if !seen[fmt.Sprintf("orders/%d:100", i)] {
			t.Errorf("partition %d was never served: %v", i, seen)
		}
	}
}

// BenchmarkIncremental measures one poll of a session with 10,000 partitions, one of which has
// new records.
func BenchmarkIncremental(b *testing.B) {
	const partitions = 10_000
	br := newBroker(b, nil)
	defer br.Close()
	orders := br.topic("orders", partitions)
	parts := make([]at, partitions)
	for i := range parts {
		parts[i] = at{t: orders, index: int32(i)}
	}
	br.append(orders, 0, 100)
	id := br.fetch(request(newest, 0, 0, parts...)).SessionID
	req := request(newest, id, 0)
	b.ReportAllocs()
	for epoch := int32(1); b.Loop(); epoch++ {
		req.SessionEpoch = epoch
		resp, release := br.fetchHeld(context.Background(), req)
		release()
		if resp.ErrorCode != 0 {
			b.Fatal(resp.ErrorCode)
		}
	}
}

// FuzzFetchSession drives the server with arbitrary requests on a session, appends and
// deletions, next to a model of a client that trusts the responses. A response must never
// repeat what the client knows nor omit what it does not, and the server must hold nothing at
// the end.
func FuzzFetchSession(f *testing.F) {
	f.Add([]byte{0, 1, 2, 0x43, 0x84, 0xc5, 6, 7, 8, 9})
	f.Add([]byte{3, 3, 3, 0x20, 0x41, 0x62, 0x83, 0xa4, 0xc5, 0xe6})
	f.Add([]byte{0x04, 0x05, 0x06, 0x01, 0x02, 0x03, 0x07, 0x01, 0x04})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 200 {
			return
		}
		b := newBroker(t, func(c *Config) { c.Sessions, c.SessionPartitions = 3, 12 })
		r := &reader{b: b, topics: []*meta.Topic{b.topic("a", 3), b.topic("b", 2)}, follows: make(map[topic.Partition]int64)}
		for _, op := range ops {
			r.step(op)
		}
		b.Close()
		b.idle()
		if n, parts := b.sessions.size(); n != 0 || parts != 0 {
			t.Errorf("%d sessions with %d partitions after the end", n, parts)
		}
	})
}

// reader is a client with a session and what it knows.
type reader struct {
	b       *broker
	topics  []*meta.Topic
	id      int32
	epoch   int32
	follows map[topic.Partition]int64 // offset by partition
	changed []at                      // to send with the next request
	forget  []topic.Partition
}

func (r *reader) step(op byte) {
	t := r.topics[int(op>>3)%len(r.topics)]
	index := int32(op>>4) % int32(len(t.Partitions))
	p := topic.Partition{Topic: t.ID, Index: index}
	switch op & 7 {
	case 0, 1:
		r.b.append(t, index, 10+int(op))
	case 2:
		if _, ok := r.follows[p]; !ok {
			r.follow(t, p, 0)
		}
	case 3:
		if _, ok := r.follows[p]; ok {
			delete(r.follows, p)
			r.forget = append(r.forget, p)
			r.changed = slices.DeleteFunc(r.changed, func(a at) bool { return a.t == t && a.index == index })
		}
	case 4: // the client loses the session
		r.id = 0
	case 5: // a request out of sequence changes nothing
		if r.id != 0 {
			if resp := r.b.fetch(r.request(r.id, r.epoch+1+int32(op>>3))); resp.ErrorCode != kerr.InvalidFetchSessionEpoch.Code {
				r.b.t.Fatalf("epoch ahead: %+v", resp)
			}
		}
	default:
		r.poll()
	}
}

func (r *reader) follow(t *meta.Topic, p topic.Partition, offset int64) {
	r.follows[p] = offset
	r.changed = append(slices.DeleteFunc(r.changed, func(a at) bool { return a.t == t && a.index == p.Index }), at{t: t, index: p.Index, offset: offset})
	r.forget = slices.DeleteFunc(r.forget, func(f topic.Partition) bool { return f == p })
}

func (r *reader) request(id, epoch int32) *kmsg.FetchRequest {
	req := request(newest, id, epoch)
	req.MaxWaitMillis = 0
	return req
}

func (r *reader) poll() {
	if r.id == 0 {
		r.epoch, r.changed, r.forget = 0, nil, nil
		for _, t := range r.topics {
			for i := range t.Partitions {
				if offset, ok := r.follows[topic.Partition{Topic: t.ID, Index: int32(i)}]; ok {
					r.changed = append(r.changed, at{t: t, index: int32(i), offset: offset})
				}
			}
		}
	}
	req := request(newest, r.id, r.epoch, r.changed...)
	req.MaxWaitMillis = 0
	for _, p := range r.forget {
		req.ForgottenTopics = append(req.ForgottenTopics, kmsg.FetchRequestForgottenTopic{TopicID: p.Topic, Partitions: []int32{p.Index}})
	}
	resp := r.b.fetch(req)
	if resp.ErrorCode == kerr.FetchSessionIDNotFound.Code && r.id != 0 && len(r.changed) > 0 {
		r.id = 0 // the added partitions did not fit: start over
		r.poll()
		return
	}
	if resp.ErrorCode != 0 {
		r.b.t.Fatalf("in step, but: %+v", resp)
	}
	r.changed, r.forget = nil, nil
	r.id, r.epoch = resp.SessionID, epochAfter(r.epoch)
	r.believe(resp)
}

func (r *reader) believe(resp *kmsg.FetchResponse) {
	got := make(map[topic.Partition]int)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			id := topic.Partition{Topic: t.TopicID, Index: p.Partition}
			if _, ok := r.follows[id]; !ok || p.ErrorCode != 0 {
				r.b.t.Fatalf("not requested, or an error: %+v", p)
			}
			if _, twice := got[id]; twice {
				r.b.t.Fatalf("%v is in one response twice", id)
			}
			got[id] = len(p.RecordBatches)
		}
	}
	for _, t := range r.topics {
		for i := range t.Partitions {
			p := topic.Partition{Topic: t.ID, Index: int32(i)}
			offset, ok := r.follows[p]
			if !ok {
				continue
			}
			want := 0
			for _, batch := range r.b.log[p][offset:] {
				want += len(batch)
			}
			if got[p] != want {
				r.b.t.Fatalf("%s/%d at %d: %d bytes, want %d", t.Name, i, offset, got[p], want)
			}
			if want > 0 {
				r.follow(t, p, int64(len(r.b.log[p])))
			}
		}
	}
}
