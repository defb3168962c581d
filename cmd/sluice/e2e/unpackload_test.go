package e2e

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/record"
)

// Clients that keep sending decompression bombs wait for each other. A client that sends honest batches,
// compressed too, does not wait for them, and memory stays far below what all bombs would take at once.
func TestOthersDoNotWaitForBatchesThatUnpackToTooMuch(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "bad", "--partitions", "2")
	sound := plainBatch(t, 1, 20)
	big := plainBatch(t, 16, 256<<20/16)
	bomb := changed(big, record.Zstd, packed(t, record.Zstd, big[record.HeaderSize:]), nil)
	packedSound := changed(sound, record.Gzip, packed(t, record.Gzip, sound[record.HeaderSize:]), nil)
	before := b.metric("process_resident_memory_bytes")

	stop := make(chan struct{})
	var senders sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 12 {
		w := b.dial()
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := w.answer(t, "bad", bomb, sound); got.ErrorCode != kerr.MessageTooLarge.Code {
					t.Errorf("a bomb: %v", kerr.ErrorForCode(got.ErrorCode))
					return
				}
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	w := b.dial()
	var took []time.Duration
	most := 0.0
	for began := time.Now(); time.Since(began) < 3*time.Second; {
		sent := time.Now()
		if got := w.answer(t, "bad", packedSound, sound); got.ErrorCode != 0 {
			t.Errorf("an honest batch: %v", kerr.ErrorForCode(got.ErrorCode))
			break
		}
		took = append(took, time.Since(sent))
		most = max(most, b.metric("process_resident_memory_bytes"))
	}
	close(stop)
	senders.Wait()
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("%d honest batches, p50 %s, p99 %s; %d bombs refused; %.0f MiB more", len(took), took[len(took)/2], p99, refused, (most-before)/(1<<20))
	if refused < 12 || p99 > time.Second {
		t.Errorf("p99 of an honest producer is %s beside %d bombs", p99, refused)
	}
	if most-before > 300<<20 {
		t.Errorf("they take %.0f MiB", (most-before)/(1<<20))
	}
}
