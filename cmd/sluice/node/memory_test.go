package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/partition"
)

func TestGarbageIsBoundedInBytesAndInShare(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 300}, {10 << 20, 300}, {40 << 20, 100}, {80 << 20, 50}, {1 << 30, 50}} {
		if got := garbage(c.live); got != c.want {
			t.Errorf("%d%% of %d bytes, want %d%%", got, c.live, c.want)
		}
	}
}

func TestLimitOfAContainer(t *testing.T) {
	for text, want := range map[string]int64{"max\n": 0, "536870912\n": 512 << 20, "9223372036854771712\n": 0, "": 0} {
		if got := memoryMax(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// From half of its limit the tail index requests uploads, a few times and not with every group;
// at the limit a group waits until memory is free, or the broker stops.
func TestTailIndexAsksThenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 20
		hurried := 0
		stopping := make(chan struct{})
		x := &tailIndex{account: memory.NewAccount(limit), hurry: func(string) { hurried++ }, stopping: stopping}
		var tail partition.Tail
		tail.ChargeTo(x.account)
		next := int64(0)
		appendOne := func() { // each in a range of its own
			x.room(t.Context(), 1)
			tail.Append(partition.Entry{Base: next, Position: partition.Position(next * 100), Size: 70, Count: 1})
			next++
		}
		for x.account.Used() <= limit/2 {
			appendOne()
		}
		if hurried > 1 {
			t.Errorf("asked %d times below half the limit", hurried)
		}
		for x.account.Used() < limit-10_000 {
			appendOne()
		}
		if hurried < 2 || hurried > 2*steps {
			t.Errorf("asked %d times between half the limit and the limit", hurried)
		}
		waiting := make(chan struct{})
		go func() {
			defer close(waiting)
			for range 1000 {
				appendOne()
			}
		}()
		time.Sleep(10 * retryRoom)
		synctest.Wait()
		if used := x.account.Used(); used > limit {
			t.Errorf("%d bytes in use", used)
		}
		select {
		case <-waiting:
			t.Error("it did not wait")
		default:
		}
		tail.Trim(next / 2) // an upload
		<-waiting
		for x.account.Used() < limit-10_000 {
			appendOne()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		x.room(ctx, 100_000) // more than half of the limit, so it requests that the other half be freed
		time.AfterFunc(time.Second, func() { close(stopping) })
		x.room(t.Context(), 100_000)
	})
}

// The heap limit is never below the live heap, however large that is: the collector would run
// continuously.
func TestTheHeapsLimitIsAboveWhatIsInUse(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, others uint64
		want         int64
	}{
		{100 * mib, 50 * mib, 540 * mib}, // only the memory map counts
		{400 * mib, 100 * mib, 616 * mib},
		{4000 * mib, 1000 * mib, 6016 * mib},
	} {
		if got := heapLimit(500*mib, c.live, c.others); got != c.want {
			t.Errorf("%d MiB in use and %d others: limit %d MiB, want %d", c.live/mib, c.others/mib, got/mib, c.want/mib)
		}
	}
}
