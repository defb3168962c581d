package peer

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/replication"
)

// TestTheWindowPushesBack: a follower that holds on to records gets no more of them than its window
// has room for, still gets messages, and gets the rest once it has released them.
func TestTheWindowPushesBack(t *testing.T) {
	const window, frame, size, n = 64 << 10, 16 << 10, 3000, 100
	leader, follower := pair(t, func(o *Options) { o.Config.FollowerWindowBytes, o.Config.FrameBytes = window, frame })
	follower.guard.Lock()
	follower.hold = true
	follower.guard.Unlock()
	leader.give(leader.Peers, 2, n, size)
	wait(t, "the window is full", func() bool { e := leader.Edges()[0]; return e.WindowBytes >= window && e.Blocked > 0 })
	leader.Send(2, partB, replication.Message{Divergence: &replication.Divergence{End: 77}})
	wait(t, "a message arrives", func() bool { return follower.count("divergence 77 from 1") == 1 })
	follower.Send(1, partB, position(5, false))
	wait(t, "a position arrives", func() bool { return leader.count("position 5 of incarnation 1 from 2") == 1 })
	leader.guard.Lock()
	if leader.taken > window+size || leader.taken < window-2*size {
		t.Errorf("%d bytes were taken at a window of %d", leader.taken, window)
	}
	leader.guard.Unlock()
	follower.guard.Lock()
	follower.hold = false
	held := follower.holding
	follower.holding = nil
	follower.guard.Unlock()
	for _, release := range held {
		release()
	}
	wait(t, "everything has arrived", func() bool {
		follower.guard.Lock()
		defer follower.guard.Unlock()
		return follower.received == n*size
	})
	wait(t, "the window is empty", func() bool { e := leader.Edges()[0]; return e.WindowBytes == 0 })
	wait(t, "all records are released", func() bool { return leader.released.Load() == n })
}

// TestABatchAboveTheWindow: it goes out alone.
func TestABatchAboveTheWindow(t *testing.T) {
	leader, follower := pair(t, func(o *Options) { o.Config.FollowerWindowBytes, o.Config.FrameBytes = 64<<10, 4<<10 })
	leader.give(leader.Peers, 2, 5, 300<<10)
	wait(t, "all have arrived", func() bool {
		follower.guard.Lock()
		defer follower.guard.Unlock()
		return follower.received == 5*300<<10
	})
}

// TestMessagesGoBeforeLaterRecords: what is sent before or within Next arrives before its records.
func TestMessagesGoBeforeLaterRecords(t *testing.T) {
	leader, follower := pair(t)
	n := int64(0)
	leader.guard.Lock()
	leader.before = func() {
		n++
		leader.Send(2, partA, replication.Message{Restart: &replication.Restart{Start: n}})
	}
	leader.guard.Unlock()
	const records = 2000
	leader.give(leader.Peers, 2, records, 100)
	last := fmt.Sprintf("records %d from 1", records-1)
	wait(t, "all have arrived", func() bool { return follower.count(last) == 1 })
	seen := int64(0)
	for _, e := range follower.all() {
		var i int64
		if k, _ := fmt.Sscanf(e, "restart %d from 1", &i); k == 1 {
			seen = i
		}
		if k, _ := fmt.Sscanf(e, "records %d from 1", &i); k == 1 && seen < i+1 {
			t.Fatalf("records %d arrived after restart %d only", i, seen)
		}
	}
}

// TestPositionsCoalesce: of many that wait the last one is sent, and no Hello is lost.
func TestPositionsCoalesce(t *testing.T) {
	o := newOutbox()
	post := func(p, end int64, hello bool) {
		it := item{kind: kindPosition, partition: partA, position: *position(end, hello).Position}
		it.partition.Index = int32(p)
		o.add(it)
	}
	for i := range int64(1000) {
		post(i%3, i, false)
	}
	post(1, 2000, true)
	for i := range int64(1000) {
		post(i%3, 3000+i, false)
	}
	post(2, 5000, true)
	f := newFrame()
	if err := o.moveTo(f, followerItems); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(describe("frame", f.buffers().Materialize())) {
		_, line, _ = strings.Cut(line, "/")
		var p, end int64
		fmt.Sscanf(line, "%d {Broker:0 Incarnation:0 Epoch:1 End:%d", &p, &end)
		got = append(got, fmt.Sprint(p, ":", end, " ", strings.Contains(line, "Hello:true")))
	}
	if want := []string{"0:3999 false", "1:2000 true", "2:5000 true", "1:3997 false"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestPositionsOfManyPartitions: they go out in frames that a leader accepts, each partition's last
// position once, and a new one after its frame is full replaces none that is gone.
func TestPositionsOfManyPartitions(t *testing.T) {
	const parts = 2*followerItems + 100
	o := newOutbox()
	post := func(i int, end int64) {
		it := item{kind: kindPosition, partition: partA, position: *position(end, false).Position}
		it.partition.Index = int32(i)
		o.add(it)
	}
	for _, end := range []int64{1, 2} {
		for i := range parts {
			post(i, end)
		}
	}
	got := make([][]int64, parts)
	for sends := 0; ; sends++ {
		f := newFrame()
		if err := o.moveTo(f, followerItems); err != nil {
			t.Fatal(err)
		}
		if f.empty() {
			break
		}
		if f.length() > followerFrame {
			t.Fatalf("a frame of %d bytes", f.length())
		}
		c, _ := parseFrame(f.buffers().Materialize())
		var it item
		for {
			if _, ok, err := c.next(&it); err != nil {
				t.Fatal(err)
			} else if !ok {
				break
			}
			got[it.partition.Index] = append(got[it.partition.Index], it.position.End)
		}
		if sends == 0 {
			post(0, 3)
			post(followerItems, 3)
			post(parts-1, 3)
		}
	}
	for i, ends := range got {
		want := []int64{2}
		switch i {
		case 0:
			want = []int64{2, 3}
		case followerItems, parts - 1:
			want = []int64{3}
		}
		if !slices.Equal(ends, want) {
			t.Fatalf("partition %d: %v, want %v", i, ends, want)
		}
	}
}

// TestConnectionsWithoutAHello: they are closed, and hold nothing.
func TestConnectionsWithoutAHello(t *testing.T) {
	leader := newSide(t, 1, 1, func(o *Options) { o.Config.ConnectTimeout = 200 * time.Millisecond })
	silent, err := net.Dial("tcp", leader.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := leader.clientOf(Broker{ID: 1, Address: leader.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cs, err := conn.NewStream(ctx, &follow, method)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(new(inbound)); err == nil || ctx.Err() != nil {
		t.Errorf("a stream without a Hello: %v", err)
	}
	if err := silent.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, silent); err != nil {
		t.Errorf("a connection that says nothing: %v", err)
	}
}

// TestTheNewerStreamWins: whether the process is the same or a later one. The driver sees the end
// of the old one before anything of the new one, and nothing of the old one after that.
func TestTheNewerStreamWins(t *testing.T) {
	leader := newSide(t, 1, 1)
	leader.Update([]Broker{{ID: 2, Incarnation: 3}})
	for i, inc := range []uint64{3, 3, 4, 4, 9} {
		r := dialRaw(t, leader, helloOf(2, inc).append(nil))
		if err := r.answered(); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		go func() { // an old stream goes on talking until it is told
			for end := int64(0); ; end++ {
				it := item{kind: kindPosition, partition: partA, position: *position(int64(i), false).Position}
				if r.SendMsg(frameOf(it)) != nil {
					return
				}
			}
		}()
		first := fmt.Sprintf("position %d of incarnation %d from 2", i, inc)
		wait(t, "it is heard", func() bool { return leader.count(first) > 0 })
	}
	stale := dialRaw(t, leader, helloOf(2, 4).append(nil))
	if err := stale.answered(); err == nil || !strings.Contains(err.Error(), "a newer stream of broker 2 is in use, of incarnation 9") {
		t.Errorf("an earlier process: %v", err)
	}
	older := dialRaw(t, leader, helloOf(2, 2).append(nil))
	if err := older.answered(); err == nil || !strings.Contains(err.Error(), "broker 2 has been started again since") {
		t.Errorf("a process older than the metadata's: %v", err)
	}
	stream := 0
	for _, e := range leader.all() {
		var i, inc int
		if k, _ := fmt.Sscanf(e, "position %d of incarnation %d from 2", &i, &inc); k == 2 && i != stream {
			t.Fatalf("%q while stream %d is in use", e, stream)
		}
		if e == "disconnected 2" {
			stream++
		}
	}
	if stream != 4 {
		t.Errorf("%d streams have ended, want 4", stream)
	}
	// The metadata learns of a later process, then that the broker is gone.
	leader.Update([]Broker{{ID: 2, Incarnation: 10}})
	wait(t, "the replaced process is disconnected", func() bool { return leader.count("disconnected 2") == 5 })
	r := dialRaw(t, leader, helloOf(2, 10).append(nil))
	if err := r.answered(); err != nil {
		t.Fatal(err)
	}
	leader.Update(nil)
	wait(t, "the removed broker is disconnected", func() bool { return leader.count("disconnected 2") == 6 })
	if err := r.ends(); err == nil || !strings.Contains(err.Error(), "broker 2 is no longer in the metadata") {
		t.Errorf("it was told %v", err)
	}
}

// TestStreamsThatAreRefused: each with one sentence, there and here, while another follower's goes on.
func TestStreamsThatAreRefused(t *testing.T) {
	leader, follower := pair(t)
	leader.Update([]Broker{{ID: 2, Incarnation: 1}, {ID: 3, Incarnation: 1}})
	with := func(change func(*hello)) []byte {
		h := helloOf(3, 1)
		change(&h)
		return h.append(nil)
	}
	good := with(func(*hello) {})
	frames := map[string][]byte{
		"kind 99":                            {1, 0, 0, 0, 99},
		"a Records is not for this side":     frameOf(item{kind: kindRecords, partition: partA}),
		"it returns 5 bytes of 0":            frameOf(item{kind: kindCredit, number: 5}),
		"a Divergence is not for this side":  examples()["leader"],
		"cannot have a head of 1735287140":   []byte("\x64ang more garbage"),
		"received message larger than max (": make([]byte, followerFrame+1),
	}
	for want, first := range map[string][]byte{
		"no Hello of replication":          []byte("good morning"),
		"is of cluster \"other\"":          with(func(h *hello) { h.cluster = "other" }),
		"two brokers have the id 1":        with(func(h *hello) { h.broker = 1 }),
		"this is broker 1, not 7":          with(func(h *hello) { h.to = 7 }),
		"does not have broker 8":           with(func(h *hello) { h.broker = 8 }),
		"upgrade broker 3":                 with(func(h *hello) { h.version, h.least = 0, 0 }),
		"which cannot be right":            append(with(func(*hello) {}), "garbage"...),
		"received message larger than max": make([]byte, followerFrame+1),
	} {
		r := dialRaw(t, leader, first)
		if err := r.answered(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it was told %v, not %q", err, want)
		}
		if strings.HasPrefix(want, "received") { // of gRPC
			continue
		}
		if !leader.log.has(strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for want, second := range frames {
		r := dialRaw(t, leader, good)
		if err := r.answered(); err != nil {
			t.Fatal(err)
		}
		_ = r.SendMsg(second) // the end of the stream tells whether it arrived
		if err := r.ends(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it was told %v, not %q", err, want)
		}
		if !leader.log.has(want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if leader.count("disconnected 3") != len(frames) || leader.count("disconnected 2") != 0 || follower.count("connected 1") != 1 {
		t.Errorf("the leader saw %v", leader.all())
	}
}

// TestALeaderThatSendsTooMuch: the follower holds its window and no more.
func TestALeaderThatSendsTooMuch(t *testing.T) {
	leader := newSide(t, 1, 1, func(o *Options) { o.Config.FollowerWindowBytes, o.Config.FrameBytes = 1<<30, 16<<10 })
	follower := newSide(t, 2, 1, func(o *Options) { o.Config.FollowerWindowBytes, o.Config.FrameBytes = 64<<10, 16<<10 })
	follower.recorder.hold = true
	follower.own.window = 1 << 30 // so that the leader does not know
	leader.Update([]Broker{{ID: 2, Incarnation: 1}})
	follower.Update([]Broker{{ID: 1, Incarnation: 1, Address: leader.addr}})
	wait(t, "it is connected", func() bool { return leader.followers.get(2) != nil })
	leader.give(leader.Peers, 2, 100, 3000)
	wait(t, "the follower ends the stream", func() bool { return leader.count("disconnected 2") > 0 })
	wait(t, "the follower says why", func() bool { return follower.log.has("it sends more than the window of 65536 bytes") })
	follower.guard.Lock()
	defer follower.guard.Unlock()
	if follower.received > 64<<10+16<<10 {
		t.Errorf("it holds %d bytes", follower.received)
	}
}

// TestABrokerThatComesBack: whoever waits to try again does so at once when the other one connects.
func TestABrokerThatComesBack(t *testing.T) {
	patient := func(o *Options) { o.Config.ReconnectMin, o.Config.ReconnectMax = time.Minute, 10*time.Minute }
	a, b := newSide(t, 1, 1, patient), newSide(t, 2, 1, patient)
	a.Update([]Broker{{ID: 2, Incarnation: 1, Address: b.addr}})
	wait(t, "it is refused, since the other has no metadata", func() bool { return a.log.has("does not have broker 1 in its metadata") })
	if e := a.Edges()[0]; e.Leads || !strings.Contains(e.Failure, "does not have broker 1") {
		t.Errorf("%+v", e)
	}
	b.Update([]Broker{{ID: 1, Incarnation: 1, Address: a.addr}})
	wait(t, "both are connected", func() bool { return a.count("connected 2") == 1 && b.count("connected 1") == 1 })
	// A new process at another address.
	c := newSide(t, 2, 2, patient)
	c.Update([]Broker{{ID: 1, Incarnation: 1}})
	a.Update([]Broker{{ID: 2, Incarnation: 2, Address: c.addr}})
	wait(t, "it is connected to the new process", func() bool { e := a.Edges()[0]; return e.Leads && e.Incarnation == 2 })
}

// TestABrokerThatLeavesAndReturns: its stream to the leader ends and another begins, one at a time, and the last one
// is in use.
func TestABrokerThatLeavesAndReturns(t *testing.T) {
	leader, follower := pair(t, func(o *Options) {
		if r, ok := o.Local.(*recorder); ok {
			r.slow = 20 * time.Millisecond // the driver of an old stream takes its time
		}
	})
	for i := range 20 {
		leader.give(leader.Peers, 2, 1, 100)
		wait(t, "records are on the way", func() bool { return leader.released.Load() == int64(i+1) || leader.followers.get(2) == nil })
		follower.Update(nil)
		follower.Update([]Broker{{ID: 1, Incarnation: 1, Address: leader.addr}})
		time.Sleep(time.Duration(i) * time.Millisecond) // so that streams get to different points
	}
	n := int64(0)
	wait(t, "positions arrive again", func() bool {
		n++
		follower.Send(1, partA, position(n, false))
		return leader.count(fmt.Sprintf("position %d of incarnation 1 from 2", n-100)) > 0
	})
	if e := follower.Edges()[0]; !e.Leads {
		t.Errorf("%+v", e)
	}
	follower.Update(nil)
	wait(t, "the stream ends", func() bool { return leader.followers.get(2) == nil })
	if all := follower.Edges(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// TestAWrongBrokerAnswers: an address in the metadata may be wrong.
func TestAWrongBrokerAnswers(t *testing.T) {
	one, two := newSide(t, 1, 1), newSide(t, 2, 1)
	one.Update([]Broker{{ID: 2, Incarnation: 1}})
	two.Update([]Broker{{ID: 3, Incarnation: 1, Address: one.addr}, {ID: 4, Address: "127.0.0.1:1"}})
	wait(t, "it says so", func() bool { return two.log.has("this is broker 1, not 3") && two.log.has("connection refused") })
	if n := two.count("connected 3"); n != 0 {
		t.Errorf("it was connected %d times", n)
	}
}

func TestMetrics(t *testing.T) {
	var reg prometheus.Gatherer
	leader, follower := pair(t, func(o *Options) {
		if o.Broker == 1 {
			reg = o.Metrics.(prometheus.Gatherer)
		}
	})
	leader.give(leader.Peers, 2, 10, 5000)
	wait(t, "pings are answered", func() bool { return leader.Edges()[0].RoundTrip > 0 && follower.Edges()[0].RoundTrip > 0 })
	wait(t, "records arrive", func() bool { return follower.count("records 9 from 1") == 1 })
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, least := range map[string]float64{"sluice_peer_sent_bytes_total": 50000, "sluice_peer_received_frames_total": 1, "sluice_peer_connected": 1,
		"sluice_peer_window_limit_bytes": 8 << 20, "sluice_peer_round_trip_seconds": 1} {
		if got[name] < least {
			t.Errorf("%s is %v", name, got[name])
		}
	}
}
