package upload

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/pipeline"
)

// Cut is a range of the WAL: everything committed below End that no earlier cut
// had. The partitions' tail indexes say which batches these are.
type Cut struct {
	End    partition.Position
	States []*partition.State // with records in the cut
	Bytes  int64
	Reason string // size, cache, age, or the reason given to Hurry

	images int64 // bytes of its images
	came   int64 // Ledger.came when it was closed
	pace   *pace // of its upload; nil: unlimited
}

// Ledger tracks what is committed and not yet uploaded. It is the source of the
// upload pipeline. Its memory is one pointer per partition and cut.
type Ledger struct {
	*setting.Limits[CutConfig]
	clock   clock.Clock
	changed chan struct{} // something below may be due; capacity 1

	mu      sync.Mutex
	full    []*Cut // closed by size, oldest first
	open    map[*partition.State]struct{}
	end     partition.Position
	bytes   int64
	since   time.Time // of the first group in open
	hurried string    // why the open cut is due soon
	pressed time.Time // when pressure last closed a cut
	pending int64     // bytes not uploaded, including cuts in progress

	images     func() int64 // capacity of the write cache in bytes; nil: cuts are not fitted to it
	openImages int64        // bytes of the images of the open cut
	cached     int64        // bytes of the images of everything not uploaded
	came       int64        // bytes noted in total
	cameBefore int64        // came at the end of the last upload
	meanwhile  float64      // bytes that arrive during an upload, per byte uploaded

	pace *pace // of all uploads
}

// NewLedger returns an empty ledger.
func NewLedger(cfg Config, c clock.Clock, reg prometheus.Registerer) *Ledger {
	l := &Ledger{Limits: setting.NewLimits("upload/ledger", cfg.CutConfig), clock: c, changed: make(chan struct{}, 1), open: make(map[*partition.State]struct{}), meanwhile: 1, pace: newPace()}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_upload_pending_bytes",
		Help: "Bytes of committed batches not yet uploaded."}, func() float64 { return float64(l.Pending()) }))
	return l
}

// Note adds a group that is on disk: what is committed with it, and its end. Groups
// come in WAL order.
func (l *Ledger) Note(g *flow.Group) {
	end := g.Position + partition.Position(len(g.Image.Bytes()))
	l.mu.Lock()
	bytes := g.Bytes
	for _, a := range g.InOrder() {
		if a.Replicated { // Committed follows
			bytes -= int64(len(a.Batch))
			continue
		}
		l.open[a.State] = struct{}{}
	}
	now := l.clock.Now()
	image := int64(cap(g.Image.Bytes()))
	l.openImages += image
	l.cached += image
	l.came += bytes
	due := l.add(now, end, bytes)
	l.mu.Unlock()
	l.pace.note(now, bytes)
	if due {
		l.wake()
	}
}

// Committed adds records of a partition with several replicas, which this broker
// leads, and which are on disk here.
func (l *Ledger) Committed(s *partition.State, from, to int64) {
	bytes, _ := s.Tail.Sum(from, to)
	if bytes == 0 {
		return
	}
	now := l.clock.Now()
	l.mu.Lock()
	l.open[s] = struct{}{}
	l.came += bytes
	due := l.add(now, l.end, bytes)
	l.mu.Unlock()
	l.pace.note(now, bytes)
	if due {
		l.wake()
	}
}

// Recovered adds one batch found in the WAL at start.
func (l *Ledger) Recovered(s *partition.State, end partition.Position, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[s] = struct{}{}
	l.add(l.clock.Now(), end, bytes)
}

// add reports whether the source should check. REQUIRES: mu is held.
func (l *Ledger) add(now time.Time, end partition.Position, bytes int64) bool {
	first := l.bytes == 0
	if first {
		l.since = now
	}
	l.end = end
	l.bytes += bytes
	l.pending += bytes
	switch {
	case l.bytes >= l.Config().SizeBytes:
		l.full = append(l.full, l.closeOpen(bySize))
	case l.early():
		l.full = append(l.full, l.closeOpen(byCache))
	default:
		return first
	}
	return true
}

func (l *Ledger) closeOpen(reason string) *Cut {
	c := &Cut{End: l.end, Bytes: l.bytes, Reason: reason, images: l.openImages, came: l.came, pace: l.pace,
		States: make([]*partition.State, 0, len(l.open))}
	for s := range l.open {
		c.States = append(c.States, s)
	}
	clear(l.open)
	l.bytes, l.openImages, l.hurried = 0, 0, ""
	return c
}

// Pending returns the bytes not uploaded, including cuts in progress.
func (l *Ledger) Pending() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}

// done removes an uploaded cut.
func (l *Ledger) done(c *Cut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending -= c.Bytes
	l.cached -= c.images
	l.learn(c)
	l.wake()
}

// Reasons to upload.
const (
	bySize  = "size"
	byCache = "cache" // it is early, for the sake of the write cache
	byAge   = "age"
	// Pressure is the reason when the WAL is short of space. It is signalled
	// repeatedly while that lasts.
	Pressure = "pressure"
	// Index is the reason when a tail index is short of space.
	Index = "index"
)

// Hurry lifts the pace of uploads for a second, and makes the open cut due: at
// once, or with Pressure as soon as no other is in progress, and a small cut at
// most once a second.
func (l *Ledger) Hurry(reason string) {
	l.mu.Lock()
	if l.bytes > 0 {
		l.hurried = reason
	}
	l.mu.Unlock()
	l.pace.lift(l.clock.Now())
	l.wake()
}

func (l *Ledger) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// due returns the next cut, or how long until the open one reaches its maximum
// age; zero means to wait for a wake-up.
func (l *Ledger) due() (*Cut, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.full) > 0 {
		c := l.full[0]
		l.full = append(l.full[:0:0], l.full[1:]...)
		return c, 0
	}
	if l.bytes == 0 {
		return nil, 0
	}
	now := l.clock.Now()
	rest := l.Config().Interval - now.Sub(l.since)
	switch {
	case rest <= 0:
		return l.closeOpen(byAge), 0
	case l.hurried == "":
		return nil, rest
	case l.hurried != Pressure:
		return l.closeOpen(l.hurried), 0
	case l.pending > l.bytes: // the cut in progress frees space, and done wakes the source
		return nil, rest
	}
	if pause := pressurePause - now.Sub(l.pressed); pause > 0 && l.bytes < l.Config().SizeBytes/8 {
		return nil, min(pause, rest)
	}
	l.pressed = now
	return l.closeOpen(Pressure), 0
}

// pressurePause is the minimum interval between small cuts closed by pressure:
// what keeps the WAL full may be something that no upload fixes.
const pressurePause = time.Second

// Run emits cuts until ctx is done. What has not been cut by then stays in the
// WAL.
func (l *Ledger) Run(ctx context.Context, out pipeline.Emit[*Cut]) error {
	for {
		c, wait := l.due()
		if c != nil {
			receipt := pipeline.NewReceipt(func(err error) {
				if err == nil {
					l.done(c)
				}
			})
			if err := out(ctx, pipeline.Parcel[*Cut]{Body: c, Size: c.Bytes, Receipt: receipt}); err != nil {
				return err
			}
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-l.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Tune changes limits; they hold for cuts not yet closed.
func (l *Ledger) Tune(values map[string]int64) error {
	err := l.Limits.Tune(values)
	if err == nil {
		l.wake()
	}
	return err
}
