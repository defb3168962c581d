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

// slowly makes a topic of so many partitions with a batch each, those named of which
// the store does not bring in time.
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

// A store that is slow: the client is answered when it wants to be, without records and
// without an error, and what others moved meanwhile is no reason to look again.
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

// In a session too; and what is left out comes with the next fetch, though the client
// says nothing of it any more.
func TestSessionsHaveWhatWasLeftOutNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, orders := slowly(t, 2, 0)
		defer b.idle()
		defer b.Close()
		first := b.fetch(request(newest, 0, 0, at{t: orders}, at{t: orders, index: 1}))
		b.expect("at first", first, "orders/0:0", "orders/1:10")
		move := at{t: orders, index: 1, offset: 1}
		b.expect("as slow as before", b.fetch(request(newest, first.SessionID, 1, move)), "orders/0:0")
		b.mu.Lock()
		clear(b.slow)
		b.mu.Unlock()
		b.expect("what came meanwhile", b.fetch(request(newest, first.SessionID, 2)), "orders/0:10")
	})
}

// What is new in one partition does not wait for what is old in another, wherever it
// stands in the request and however little the client takes at once.
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
		b.expect("the new one", <-done, "orders/0:0", "orders/1:20")
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

// An error of a read is kept back for a moment, and only where there is nothing else to
// say: many clients ask again at once.
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
