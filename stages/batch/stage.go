package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/pipeline"
)

// Config has the limits of the stage; all can be tuned while it runs.
type Config struct {
	// TargetBytes is the group size worth waiting for. Larger groups cost fewer
	// syncs a byte and more latency a record.
	TargetBytes int64
	// MaxBytes closes a group. A single larger Write still makes a group alone.
	MaxBytes int64
	// ImageBytes is the most that the image of a group of several Writes takes, whatever
	// MaxBytes says: what there is memory for. 0: any size. It is not tuned.
	ImageBytes int64
	// Linger is the longest wait for company while EagerGroups or more are in flight.
	Linger time.Duration
	// EagerGroups is below how many groups in flight the next one leaves at once. The
	// log writes several at a time, at the latency of one, so that waiting for the
	// first of them costs a record time and saves the disk nothing.
	EagerGroups int64
}

// DefaultConfig returns limits measured to fit NVMe disks.
func DefaultConfig() Config {
	return Config{TargetBytes: 256 << 10, MaxBytes: 1 << 20, Linger: time.Millisecond, EagerGroups: 4}
}

// Validate reports a setting that cannot work.
func (c Config) Validate() error {
	switch {
	case c.TargetBytes < 1 || c.MaxBytes < c.TargetBytes:
		return fmt.Errorf("batch: need 1 <= target bytes (%d) <= max bytes (%d)", c.TargetBytes, c.MaxBytes)
	case c.Linger < 0 || c.Linger > time.Second:
		return fmt.Errorf("batch: linger %s is outside 0..1s", c.Linger)
	case c.EagerGroups < 1:
		return fmt.Errorf("batch: %d eager groups; 1 is the least, so that a group leaves when nothing else does", c.EagerGroups)
	}
	return nil
}

// Image makes the image of a group, of the one copy that is made of every batch, and has
// its appends point into it. It waits for memory. An error ends the stage.
type Image func(ctx context.Context, g *flow.Group) error

// Stage is the batch stage. Run it with one worker.
type Stage struct {
	image                      Image
	target, max, linger, eager atomic.Int64
	most                       int64 // bytes of an image of several Writes
	inFlight                   atomic.Int64
	next                       *pipeline.Parcel[*flow.Write] // begins the next group; of Run
	settled                    chan struct{}                 // a group settled; capacity 1, wakes coalesce
}

// New returns the stage.
func New(cfg Config, image Image) *Stage {
	s := &Stage{image: image, most: cfg.ImageBytes, settled: make(chan struct{}, 1)}
	if s.most == 0 {
		s.most = math.MaxInt64
	}
	s.target.Store(cfg.TargetBytes)
	s.max.Store(cfg.MaxBytes)
	s.linger.Store(int64(cfg.Linger))
	s.eager.Store(cfg.EagerGroups)
	return s
}

// The names under which Tune knows the limits.
const (
	TuneTargetBytes = "target_bytes"
	TuneMaxBytes    = "max_bytes"
	TuneLingerUs    = "linger_us"
	TuneEagerGroups = "eager_groups"
)

// Tunables returns the limits in force.
func (s *Stage) Tunables() map[string]int64 {
	return map[string]int64{TuneTargetBytes: s.target.Load(), TuneMaxBytes: s.max.Load(),
		TuneLingerUs: s.linger.Load() / int64(time.Microsecond), TuneEagerGroups: s.eager.Load()}
}

// Tune changes limits while the stage runs; they hold from the next group on.
func (s *Stage) Tune(values map[string]int64) error {
	cfg := Config{TargetBytes: s.target.Load(), MaxBytes: s.max.Load(), Linger: time.Duration(s.linger.Load()), EagerGroups: s.eager.Load()}
	for key, value := range values {
		switch key {
		case TuneTargetBytes:
			cfg.TargetBytes = value
		case TuneMaxBytes:
			cfg.MaxBytes = value
		case TuneLingerUs:
			cfg.Linger = time.Duration(value) * time.Microsecond
		case TuneEagerGroups:
			cfg.EagerGroups = value
		default:
			return fmt.Errorf("batch: no limit %q; there are %s, %s, %s and %s", key, TuneTargetBytes, TuneMaxBytes, TuneLingerUs, TuneEagerGroups)
		}
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	s.target.Store(cfg.TargetBytes)
	s.max.Store(cfg.MaxBytes)
	s.linger.Store(int64(cfg.Linger))
	s.eager.Store(cfg.EagerGroups)
	return nil
}

// group is a Group under construction.
type group struct {
	body     *flow.Group
	image    int64 // bytes that it takes at most
	receipts []*pipeline.Receipt
}

// Upper bounds on what the image of a group has beside the batches: for the group, up
// to whole blocks, and for each of its batches.
const (
	groupRoom = 8 << 10
	batchRoom = 64
)

// room is what w takes of an image at most.
func room(w *flow.Write) int64 { return w.Bytes + int64(len(w.Appends))*batchRoom }

func (g *group) add(p pipeline.Parcel[*flow.Write]) {
	g.body.Writes = append(g.body.Writes, p.Body)
	g.body.Bytes += p.Body.Bytes
	g.image += room(p.Body)
	g.receipts = append(g.receipts, p.Receipt)
}

// Run groups until in is closed.
func (s *Stage) Run(ctx context.Context, in *pipeline.In[*flow.Write], out pipeline.Emit[*flow.Group]) (err error) {
	defer func() {
		if p := s.next; p != nil { // only after an error
			s.next = nil
			p.Settle(err)
		}
	}()
	for seq := uint64(1); ; seq++ {
		first, err := s.first(ctx, in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		g := &group{body: &flow.Group{Seq: seq}, image: groupRoom}
		g.add(first)
		s.fill(ctx, g, in)
		if err := s.send(ctx, g, out); err != nil {
			return err
		}
	}
}

// first returns what a group begins with.
func (s *Stage) first(ctx context.Context, in *pipeline.In[*flow.Write]) (pipeline.Parcel[*flow.Write], error) {
	if p := s.next; p != nil {
		s.next = nil
		return *p, nil
	}
	return in.Recv(ctx)
}

// fill adds what is queued, and waits for more while waiting is free.
func (s *Stage) fill(ctx context.Context, g *group, in *pipeline.In[*flow.Write]) {
	target, limit := s.target.Load(), s.max.Load()
	var timer *time.Timer
	for {
		for g.body.Bytes < limit {
			p, ok := in.TryRecv()
			if !ok {
				break
			}
			if g.image+room(p.Body) > s.most {
				s.next = &p
				break
			}
			g.add(p)
		}
		if s.next != nil || g.body.Bytes >= target || s.inFlight.Load() < s.eager.Load() {
			break
		}
		if timer == nil {
			timer = time.NewTimer(time.Duration(s.linger.Load()))
		}
		if !s.await(ctx, in, timer.C) {
			break
		}
	}
	if timer != nil {
		timer.Stop()
	}
}

// await reports whether there may be something new to add.
func (s *Stage) await(ctx context.Context, in *pipeline.In[*flow.Write], over <-chan time.Time) bool {
	if in.Closed() {
		return false
	}
	select {
	case <-in.Ready():
		return true
	case <-s.settled:
		return true
	case <-over:
		return false
	case <-ctx.Done():
		return false
	}
}

func (s *Stage) send(ctx context.Context, g *group, out pipeline.Emit[*flow.Group]) error {
	g.body.Arrange()
	s.inFlight.Add(1)
	body := g.body
	receipt := pipeline.JoinFunc(func(error) {
		if body.Image != nil {
			body.Image.Release()
		}
		s.inFlight.Add(-1)
		select {
		case s.settled <- struct{}{}:
		default:
		}
	}, g.receipts...)
	if err := s.image(ctx, body); err != nil {
		receipt.Settle(err)
		return err
	}
	return out(ctx, pipeline.Parcel[*flow.Group]{Body: g.body, Size: g.body.Bytes, Receipt: receipt})
}
