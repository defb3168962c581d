package batch

import (
	"context"
	"errors"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/setting"
	"github.com/sluicemq/sluice/pipeline"
)

// Image makes the image of a group, of the one copy that is made of every batch, and has
// its appends point into it. It waits for memory. An error ends the stage.
type Image func(ctx context.Context, g *flow.Group) error

// Stage is the batch stage. Run it with one worker. Limits that are changed hold from the next
// group on.
type Stage struct {
	*setting.Limits[Config]
	image    Image
	most     int64 // bytes of an image of several Writes
	inFlight atomic.Int64
	next     *pipeline.Parcel[*flow.Write] // begins the next group; of Run
	settled  chan struct{}                 // a group settled; capacity 1, wakes coalesce
}

// New returns the stage.
func New(cfg Config, image Image) *Stage {
	s := &Stage{Limits: setting.NewLimits("write/batch", cfg), image: image, most: cfg.ImageBytes, settled: make(chan struct{}, 1)}
	if s.most == 0 {
		s.most = math.MaxInt64
	}
	return s
}

// group is a Group under construction.
type group struct {
	body     *flow.Group
	image    int64 // maximum bytes of its image
	receipts []*pipeline.Receipt
}

// Upper bounds for what an image contains besides the batches: per group,
// including padding to whole blocks, and per batch.
const (
	groupOverhead = 8 << 10
	batchOverhead = 64
)

// imageBytes is the most that w adds to an image.
func imageBytes(w *flow.Write) int64 { return w.Bytes + int64(len(w.Appends))*batchOverhead }

func (g *group) add(p pipeline.Parcel[*flow.Write]) {
	g.body.Writes = append(g.body.Writes, p.Body)
	g.body.Bytes += p.Body.Bytes
	g.image += imageBytes(p.Body)
	g.receipts = append(g.receipts, p.Receipt)
}

// Run groups Writes until in is closed.
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
		g := &group{body: &flow.Group{Seq: seq}, image: groupOverhead}
		g.add(first)
		s.fill(ctx, g, in)
		if err := s.send(ctx, g, out); err != nil {
			return err
		}
	}
}

// first returns the first Write of a group.
func (s *Stage) first(ctx context.Context, in *pipeline.In[*flow.Write]) (pipeline.Parcel[*flow.Write], error) {
	if p := s.next; p != nil {
		s.next = nil
		return *p, nil
	}
	return in.Recv(ctx)
}

// fill adds what is queued, and waits for more while waiting is free.
func (s *Stage) fill(ctx context.Context, g *group, in *pipeline.In[*flow.Write]) {
	cfg := s.Config()
	var timer *time.Timer
	for {
		for g.body.Bytes < cfg.MaxBytes {
			p, ok := in.TryRecv()
			if !ok {
				break
			}
			if g.image+imageBytes(p.Body) > s.most {
				s.next = &p
				break
			}
			g.add(p)
		}
		if s.next != nil || g.body.Bytes >= cfg.TargetBytes || s.inFlight.Load() < s.Config().EagerGroups {
			break
		}
		if timer == nil {
			timer = time.NewTimer(cfg.Linger)
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
