package fetch

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/pipeline"
)

// from returns a connection of an address, by number.
func from(conn uint64, addr byte) pipeline.Holder {
	return pipeline.Holder{Conn: conn, Addr: netip.AddrFrom4([4]byte{192, 0, 2, addr})}
}

// polled is a fetch in progress.
type polled struct {
	began  time.Time
	took   time.Duration // once it is answered
	resp   *kmsg.FetchResponse
	charge bool
}

func (p *polled) answered() bool { return p.resp != nil }

// poll starts a fetch that waits a minute for more bytes than ever arrive.
func (b *broker) poll(who pipeline.Holder, req *kmsg.FetchRequest) *polled {
	p := &polled{began: time.Now()}
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 60_000, 1<<30, 1<<30
	p.charge = b.Fetch(context.Background(), who, req, func(body net.Buffers, release func()) {
		p.took, p.resp = time.Since(p.began), decode(b.t, req.Version, body)
		release()
	})
	return p
}

// crowd starts polls on one connection after another until the memory is used up, and returns
// them.
func (b *broker) crowd(orders *meta.Topic, who func(i int) pipeline.Holder) (all []*polled) {
	for one := int64(0); b.waiting.memory()+one <= b.waiting.limit*7/8; one = b.waiting.memory() / int64(len(all)) {
		all = append(all, b.poll(who(len(all)), request(11, 0, -1, at{t: orders})))
	}
	return all
}

func answered(all []*polled) (n int) {
	for _, p := range all {
		if p.answered() {
			n++
		}
	}
	return n
}

const room = 64 * pollBytes

// A newcomer gets memory at once if others hold more, and the oldest poll of the largest holder
// is answered early for it.
func TestPollsThatWaitMakeRoomForOthers(t *testing.T) {
	one := func(conn uint64, addr byte) func(int) pipeline.Holder {
		return func(int) pipeline.Holder { return from(conn, addr) }
	}
	tests := []struct {
		name   string
		others func(i int) pipeline.Holder
		late   pipeline.Holder
	}{
		{"another address", one(1, 1), from(2, 2)},
		{"another connection of the same address", one(1, 1), from(2, 1)},
		{"many connections of an address", func(i int) pipeline.Holder { return from(uint64(10+i), 1) }, from(2, 2)},
		{"several addresses", func(i int) pipeline.Holder { return from(uint64(10+i%4), byte(10+i%4)) }, from(2, 2)},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			b := newBroker(t, func(c *Config) { c.WaitingBytes = room })
			orders := b.topic("orders", 1)
			b.append(orders, 0, 10)
			others := b.crowd(orders, tt.others)
			synctest.Wait()
			if n := answered(others); n != 0 || len(others) < 30 {
				t.Fatalf("%s: %d of %d are answered although all fit", tt.name, n, len(others))
			}
			late := b.poll(tt.late, request(11, 0, -1, at{t: orders}))
			took := time.Since(late.began)
			synctest.Wait()
			if took != 0 || late.answered() {
				t.Errorf("%s: it waited %s for memory, answered: %v", tt.name, took, late.answered())
			}
			if n := answered(others); n != 1 || !others[0].answered() {
				t.Errorf("%s: %d are answered for it, the oldest: %v", tt.name, n, others[0].answered())
			} else if p := only(t, others[0].resp); p.ErrorCode != 0 || len(p.RecordBatches) != 10 {
				t.Errorf("%s: it was answered %+v", tt.name, p)
			}
			b.Close()
			b.idle()
		})
	}
}

// If nobody holds more than the newcomer, it waits until the oldest poll has had some time, so
// that polls answered early do not come back as fast as they can.
func TestPollsOfTheLikeMakeRoomInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(c *Config) { c.WaitingBytes = room })
		orders := b.topic("orders", 1)
		others := b.crowd(orders, func(i int) pipeline.Holder { return from(uint64(i), byte(i)) })
		time.Sleep(leastOpen / 5)
		late := b.poll(from(1000, 200), request(11, 0, -1, at{t: orders}))
		if took := time.Since(late.began); took != leastOpen*4/5 {
			t.Errorf("the newcomer waited for %s", took)
		}
		synctest.Wait()
		if n := answered(others); n != 1 || others[0].took != leastOpen {
			t.Errorf("%d are answered, the oldest after %s", n, others[0].took)
		}
		b.Close()
		b.idle()
	})
}

// A poll can be answered early whatever it waits for: its session's turn, the response budget,
// or a slow store.
func TestPollsAreAnsweredEarlyWhateverTheyWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, orders := slowly(t, 2, 0)
		defer b.idle()
		defer b.Close()
		reading := b.poll(from(1, 1), request(12, 0, -1, at{t: orders}))
		reading.began = time.Now()
		held := b.budget.Capacity() - b.budget.InUse()
		if err := b.budget.Acquire(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		req := request(12, 0, -1, at{t: orders, index: 1, with: func(p *kmsg.FetchRequestTopicPartition) { p.PartitionMaxBytes = 1 << 20 }})
		claiming := b.poll(from(2, 1), req)
		id := b.fetch(request(12, 0, 0, at{t: orders, index: 1, offset: 1})).SessionID
		first := b.poll(from(3, 1), request(12, id, 1))
		synctest.Wait()
		turn := b.poll(from(4, 1), request(12, id, 2))
		synctest.Wait()
		all := []*polled{reading, claiming, first, turn}
		b.waiting.hurryAll()
		synctest.Wait()
		for i, p := range all {
			if !p.answered() {
				t.Fatalf("poll %d is not answered", i)
			}
		}
		if turn.resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
			t.Errorf("the poll that waited for its turn: %+v", turn.resp)
		}
		for i, p := range all[:2] {
			if got := only(t, p.resp); got.ErrorCode != 0 {
				t.Errorf("number %d: %+v", i, got)
			}
		}
		b.budget.Release(held)
	})
}

// Records of an untaken response are charged to the response budget, and not a second time to
// the waiting memory: a heavy consumer is not held up by its own responses.
func TestRecordsAreNotChargedToThoseThatWait(t *testing.T) {
	b := newBroker(t, nil)
	orders := b.topic("orders", 1)
	b.append(orders, 0, 4<<20)
	resp, release := b.fetchHeld(t.Context(), request(12, 0, -1, at{t: orders}))
	if n := len(only(t, resp).RecordBatches); n != 4<<20 {
		t.Fatalf("the budget holds %d bytes of records", n)
	}
	if used, _ := b.WaitingMemory(); used < answerBytes || used > 4<<10 {
		t.Errorf("%d bytes of waiting memory are charged for a response of 4 MiB of records", used)
	}
	if used, _ := b.AnswerMemory(); used < 4<<20 {
		t.Errorf("its records are charged with %d bytes", used)
	}
	release()
	b.Close()
	b.idle()
}

// A request larger than the largest reservation does not wait.
func TestVeryLargeRequestsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(c *Config) { c.WaitingBytes = room })
		orders := b.topic("orders", 200)
		var parts []at
		for i := range int32(200) {
			parts = append(parts, at{t: orders, index: i})
		}
		p := b.poll(from(1, 1), request(11, 0, -1, parts...))
		synctest.Wait()
		if p.charge || !p.answered() || p.took != 0 {
			t.Errorf("charged %v, answered %v after %s", p.charge, p.answered(), p.took)
		}
		b.Close()
		b.idle()
	})
}

// Reservations come and go in any order; kept never exceeds its part, and nothing leaks.
func TestPlacesAreWithinTheirBound(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(1, seed))
		w := newWaiting(100_000)
		var all []*reservation
		now := time.Unix(0, 0)
		for range 5000 {
			now = now.Add(time.Duration(rng.IntN(20)) * time.Millisecond)
			conn := uint64(rng.IntN(30))
			switch n := rng.IntN(10); {
			case n < 6:
				if p, _, _ := w.try(from(conn, byte(rng.IntN(7))), pollBytes+rng.Int64N(20_000), now, n == 0, func() {}); p != nil {
					all = append(all, p)
				}
			case len(all) == 0:
			case n == 6:
				all[rng.IntN(len(all))].resize(pollBytes)
			default:
				i := rng.IntN(len(all))
				all[i].answered(answerBytes + rng.Int64N(1000))
				if n > 7 {
					all[i].leave()
					all[i] = all[len(all)-1]
					all = all[:len(all)-1]
				}
			}
			sum := int64(0)
			for _, p := range all {
				sum += p.bytes
			}
			if w.kept > w.limit*7/8 || w.kept+w.draining != sum {
				t.Fatalf("seed %d: %d kept, %d draining of %d; reservations have %d", seed, w.kept, w.draining, w.limit, sum)
			}
			if len(w.addrs) > 0 && w.kept > 0 && w.addrs[0].first() == nil {
				t.Fatalf("seed %d: nobody to hurry, although %d bytes are kept", seed, w.kept)
			}
		}
		for _, p := range all {
			p.leave()
			p.leave()
		}
		if w.kept != 0 || w.draining != 0 || len(w.addrs)+len(w.byAddr)+len(w.conns) != 0 {
			t.Errorf("seed %d: leaked %d and %d bytes, %d addresses, %d connections", seed, w.kept, w.draining, len(w.byAddr), len(w.conns))
		}
	}
}

// An append too small for waiting polls causes no scan.
func TestAppendsLeavePollsAloneThatMissMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, func(c *Config) { c.WaitingBytes, c.MaxBytes, c.BudgetBytes = 16<<20, 1<<30, 2<<30 })
		orders := b.topic("orders", 3)
		var polls []*polled
		for i := range 500 {
			polls = append(polls, b.poll(from(uint64(i), 1), request(11, 0, int32(-(i%2)), at{t: orders}, at{t: orders, index: 1}, at{t: orders, index: 2})))
		}
		synctest.Wait()
		before := testutil.ToFloat64(b.metrics.scans)
		for i := range 300 {
			b.append(orders, int32(i%3), 1000)
			synctest.Wait()
		}
		if n := testutil.ToFloat64(b.metrics.scans) - before; n != 0 || answered(polls) != 0 {
			t.Errorf("%v scans after 300 kB although each poll waits for 1 GB", n)
		}
		b.state(orders, 1).SetEpoch(2)
		time.Sleep(longestRest)
		synctest.Wait()
		if n := testutil.ToFloat64(b.metrics.scans) - before; n != 500 {
			t.Errorf("%v scans after a new epoch", n)
		}
		b.Close()
		b.idle()
	})
}

// A poll is answered as soon as enough has arrived across its partitions, and not before.
func TestPollsAreAnsweredWhenEnoughHasCome(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, seed))
			b := newBroker(t, nil)
			orders := b.topic("orders", 1+rng.IntN(8))
			var parts []at
			for i := range orders.Partitions {
				for range rng.IntN(3) { // some records exist already
					b.append(orders, int32(i), 1+rng.IntN(50))
				}
				parts = append(parts, at{t: orders, index: int32(i)})
			}
			sum := 0
			for _, log := range b.log {
				for _, batch := range log {
					sum += len(batch)
				}
			}
			req := request(newest, 0, int32(-rng.IntN(2)), parts...)
			req.MaxWaitMillis, req.MinBytes = 600_000, int32(sum+1+rng.IntN(1000))
			var took time.Duration
			answered, began := false, time.Now()
			b.Fetch(t.Context(), from(1, 1), req, func(_ net.Buffers, release func()) {
				took, answered = time.Since(began), true
				release()
			})
			for sum < int(req.MinBytes) {
				time.Sleep(time.Second)
				if synctest.Wait(); answered {
					t.Fatalf("seed %d: answered with %d of %d bytes", seed, sum, req.MinBytes)
				}
				n := 1 + rng.IntN(100)
				sum += n
				b.append(orders, int32(rng.IntN(len(parts))), n)
			}
			due := time.Since(began)
			time.Sleep(time.Second)
			if synctest.Wait(); !answered || took != due {
				t.Fatalf("seed %d: answered %v after %s, enough had arrived after %s", seed, answered, took, due)
			}
			b.Close()
			b.idle()
		})
	}
}
