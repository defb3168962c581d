package fetch

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// slowly creates a topic with one batch in each partition; reads of those listed in slow do not
// complete in time.
func slowly(t *testing.T, partitions int, slow ...int32) (*broker, *meta.Topic) {
	b := newBroker(t, nil)
	orders := b.topic("orders", partitions)
	b.slow = map[topic.Partition]bool{}
	for i := range int32(partitions) {
		b.append(orders, i, 10)
		b.slow[topic.Partition{Topic: orders.ID, Index: i}] = slices.Contains(slow, i)
	}
	return b, orders
}

// With a slow store, the client is answered at its deadline, without records and without an
// error, and changes elsewhere cause no further read.
func TestWhatIsNotThereInTimeIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, orders := slowly(t, 1, 0)
		defer b.idle()
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var producer sync.WaitGroup
		producer.Go(func() {
			for ctx.Err() == nil {
				b.append(orders, 0, 10)
				time.Sleep(time.Millisecond)
			}
		})
		began := time.Now()
		p := only(t, b.fetch(request(newest, 0, -1, at{t: orders})))
		took := time.Since(began)
		cancel()
		producer.Wait()
		if p.ErrorCode != 0 || len(p.RecordBatches) != 0 || p.HighWatermark < 1 {
			t.Errorf("%+v", p)
		}
		if took != time.Second {
			t.Errorf("answered after %s", took)
		}
		if b.reads != 1 {
			t.Errorf("read %d times", b.reads)
		}
	})
}

// The same in a session; what was left out comes with the next fetch, although the client does
// not ask for it again.
func TestSessionsHaveWhatWasLeftOutNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, orders := slowly(t, 2, 0)
		defer b.idle()
		defer b.Close()
		first := b.fetch(request(newest, 0, 0, at{t: orders}, at{t: orders, index: 1}))
		b.expect("at first", first, "orders/0:0", "orders/1:10")
		move := at{t: orders, index: 1, offset: 1}
		b.expect("still slow", b.fetch(request(newest, first.SessionID, 1, move)), "orders/0:0")
		b.mu.Lock()
		clear(b.slow)
		b.mu.Unlock()
		b.expect("delivered meanwhile", b.fetch(request(newest, first.SessionID, 2)), "orders/0:10")
	})
}

// New records of one partition do not wait for old ones of another, whatever their order in the
// request and however small the response limit.
func TestNewRecordsDoNotWaitForASlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, orders := slowly(t, 2, 0)
		defer b.idle()
		defer b.Close()
		done := make(chan *kmsg.FetchResponse)
		go func() {
			req := request(newest, 0, -1, at{t: orders}, at{t: orders, index: 1, offset: 1})
			req.MaxWaitMillis = 60_000
			done <- b.fetch(req)
		}()
		time.Sleep(5 * time.Second)
		began := time.Now()
		b.append(orders, 1, 20)
		b.expect("the new record", <-done, "orders/0:0", "orders/1:20")
		if took := time.Since(began); took > 20*time.Millisecond {
			t.Errorf("after %s", took)
		}
		first := request(newest, 0, 0, at{t: orders}, at{t: orders, index: 1})
		first.MaxBytes = 1
		resp := b.fetch(first)
		next := request(newest, resp.SessionID, 1)
		next.MaxBytes = 1
		b.expect("the other's turn", b.fetch(next), "orders/1:10")
		if n := testutil.ToFloat64(b.metrics.scans); n > 10 {
			t.Errorf("%v looks", n)
		}
	})
}

// A response with only read errors is delayed briefly, since many clients retry at once.
func TestFailedReadsDoNotMakeClientsSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, orders := slowly(t, 1)
		defer b.idle()
		defer b.Close()
		b.failing = errTorn
		began := time.Now()
		if p := only(t, b.fetch(request(newest, 0, -1, at{t: orders}))); p.ErrorCode != kerr.KafkaStorageError.Code {
			t.Errorf("%+v", p)
		}
		if took := time.Since(began); took < holdTime || took > time.Second {
			t.Errorf("answered after %s", took)
		}
	})
}
