package upload

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Sizes of groups, of the write cache, and of uploads, in bytes.
const (
	groupBytes = 64 << 10
	cacheBytes = 22 << 20
	cutBytes   = 25 << 19
	underWay   = 40 // groups
)

// rigged is a ledger with a producer, and an uploader that reads like the real one: an
// object's parts are spread over its cut, so the whole cut is needed until the end.
type rigged struct {
	*Ledger
	state *partition.State
	image *blockfs.Buffer

	placed   []*flow.Group
	perGroup int64        // batch bytes of a group; its image may be larger
	noted    atomic.Int64 // groups
	readBack atomic.Int64 // bytes read that were no longer cached
	sent     atomic.Int64
	speed    atomic.Int64 // of uploads, bytes per second
	room     atomic.Int64 // cache size, bytes
	mu       sync.Mutex
	cuts     []*Cut
}

func newRigged(t *testing.T, speed int64) *rigged {
	t.Helper()
	cfg := DefaultConfig()
	cfg.SizeBytes = cutBytes
	image, err := blockfs.NewPool(1<<20).Get(t.Context(), groupBytes)
	if err != nil {
		t.Fatal(err)
	}
	r := &rigged{Ledger: NewLedger(cfg, clock.System{}, prometheus.NewRegistry()), image: image, perGroup: groupBytes,
		state: partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)}
	r.speed.Store(speed)
	r.room.Store(cacheBytes)
	r.KeepCached(r.room.Load)
	return r
}

// produce places groups for d, as fast as perSecond and rate allow, and notes each group
// once underWay more have been placed.
func (r *rigged) produce(perSecond float64, d time.Duration, rate func(partition.Position) float64) (bytes int64) {
	began := time.Now()
	for due := began; time.Since(began) < d; {
		g := &flow.Group{Position: partition.Position((r.noted.Load() + int64(len(r.placed))) * groupBytes), Bytes: r.perGroup, Image: r.image,
			Writes: []*flow.Write{{Appends: []*flow.Append{{State: r.state}}}}}
		r.placed = append(r.placed, g)
		if len(r.placed) > underWay {
			r.Note(r.placed[0])
			r.placed = r.placed[1:]
			r.noted.Add(1)
		}
		bytes += r.perGroup
		n := perSecond
		if most := rate(g.Position + groupBytes); most > 0 {
			n = min(n, most)
		}
		due = due.Add(time.Duration(float64(r.perGroup) / n * float64(time.Second)))
		time.Sleep(time.Until(due))
	}
	return bytes
}

// run uploads cuts until ctx ends.
func (r *rigged) run(ctx context.Context) error {
	next := int64(0) // first group not yet cut
	return r.Ledger.Run(ctx, func(ctx context.Context, p pipeline.Parcel[*Cut]) error {
		c, first := p.Body, next
		next = int64(c.End) / groupBytes
		in := c.pace.reader(ctx, io.NopCloser(io.LimitReader(zeroes{}, c.Bytes)))
		step := make([]byte, groupBytes)
		for {
			n, err := in.Read(step)
			if err == io.EOF { //nolint:errorlint // it is io.EOF itself
				break
			}
			if err != nil {
				return nil //nolint:nilerr // the test is over
			}
			gone := min(max(0, r.noted.Load()-cacheBytes/groupBytes-first), next-first) // evicted groups of the cut
			r.readBack.Add(int64(n) * gone / (next - first))
			r.sent.Add(int64(n))
			time.Sleep(time.Duration(n) * time.Second / time.Duration(r.speed.Load()))
		}
		time.Sleep(20 * time.Millisecond) // the commit
		r.mu.Lock()
		r.cuts = append(r.cuts, c)
		r.mu.Unlock()
		p.Settle(nil)
		return nil
	})
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// beside runs f while r uploads.
func (r *rigged) beside(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- r.run(ctx) }()
	f()
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func anyRate(partition.Position) float64 { return 0 }

func TestUploadsComeFromTheWriteCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigged(t, 100<<20)
		r.beside(t, func() {
			bytes := r.produce(300<<20, 10*time.Second, r.Rate)
			if r.readBack.Load()*10 > r.sent.Load() {
				t.Errorf("%d of %d bytes were read back", r.readBack.Load(), r.sent.Load())
			}
			if rate, want := float64(bytes)/10, 100.*(1<<20); rate < want*0.8 || rate > want*1.1 {
				t.Errorf("%.0f bytes per second were accepted, uploads can send %.0f", rate, want)
			}
			r.readBack.Store(0)
			r.sent.Store(0)
			r.produce(300<<20, 3*time.Second, anyRate)
			if r.readBack.Load()*2 < r.sent.Load() {
				t.Errorf("without a rate only %d of %d bytes are read back: this test proves nothing", r.readBack.Load(), r.sent.Load())
			}
			r.produce(300<<20, 15*time.Second, r.Rate) // uploads catch up
			r.readBack.Store(0)
			r.sent.Store(0)
			r.produce(300<<20, 10*time.Second, r.Rate)
			if r.readBack.Load()*10 > r.sent.Load() {
				t.Errorf("%d of %d bytes were read back, long after uploads had caught up", r.readBack.Load(), r.sent.Load())
			}
		})
	})
}

// TestUnavailableStoreDoesNotLimitProducers: the WAL has space for an outage, so records are
// accepted as fast as they arrive.
func TestUnavailableStoreDoesNotLimitProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const came, d = 300 << 20, 3 * time.Second
		r := newRigged(t, 100<<20)
		r.beside(t, func() {
			if bytes := r.produce(came, d, r.Rate); float64(bytes) > came*0.5*d.Seconds() {
				t.Errorf("%d bytes were accepted: producers were not limited", bytes)
			}
			r.speed.Store(1) // a step takes a day
			r.produce(came, 2*stalled, r.Rate)
			if bytes := r.produce(came, d, r.Rate); float64(bytes) < came*0.99*d.Seconds() {
				t.Errorf("only %d bytes were accepted while the store was unavailable", bytes)
			}
		})
	})
}

func TestCutsAreEarlyForTheCacheAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigged(t, 100<<20)
		check := func(when string, reason string, least, most int64) {
			t.Helper()
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.cuts) < 3 {
				t.Fatalf("%s: %d cuts", when, len(r.cuts))
			}
			for _, c := range r.cuts[len(r.cuts)-2:] {
				if c.Reason != reason || c.Bytes < least || c.Bytes > most {
					t.Errorf("%s: a cut of %d bytes for reason %s; want %d to %d, %s", when, c.Bytes, c.Reason, least, most, reason)
				}
			}
			r.cuts = nil
		}
		r.beside(t, func() {
			r.produce(300<<20, 5*time.Second, r.Rate)
			check("at full speed", byCache, cutBytes*earliest, cutBytes*9/10)
			r.produce(10<<20, 10*time.Second, r.Rate)
			check("slowly", bySize, cutBytes, cutBytes+groupBytes)
			r.perGroup = groupBytes / 2 // images are half empty: two cuts never fit
			r.produce(100<<20, 5*time.Second, r.Rate)
			check("with half-empty images", byCache, cutBytes*earliest, cutBytes*earliest+groupBytes)
			r.room.Store(cutBytes / 2)
			r.produce(100<<20, 5*time.Second, anyRate)
			check("with a cache smaller than a cut", bySize, cutBytes, cutBytes+groupBytes)
		})
	})
}
