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

// Log is what groups are appended to.
type Log interface {
	// Append gives the batches of a complete group their place in the logs of their partitions,
	// and settles those that may not have one. It makes the image of the group, of the one copy
	// that is made of every batch, and has its appends point into it. It waits for memory. An
	// error ends the stage.
	Append(ctx context.Context, g *flow.Group) error
	// Nacked reports that a group will not be written. Its appends are not settled any more.
	Nacked(g *flow.Group)
}

// Stage is the batch stage. Run it with one worker. Limits that are changed hold from the next
// group on.
type Stage struct {
	*setting.Limits[Config]
	log      Log
	most     int64 // bytes of an image of several Writes
	inFlight atomic.Int64
	next     *pipeline.Parcel[*flow.Write] // begins the next group; of Run
	settled  chan struct{}                 // a group settled; capacity 1, wakes coalesce
}

// New returns the stage.
func New(cfg Config, log Log) *Stage {
	s := &Stage{Limits: setting.NewLimits("write/batch", cfg), log: log, most: cfg.ImageBytes, settled: make(chan struct{}, 1)}
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
	body := g.body
	body.Arrange()
	for i, w := range body.Writes {
		promise(w, g.receipts[i])
	}
	s.inFlight.Add(1)
	receipt := pipeline.Detach(func(err error) { s.over(body, err) }, g.receipts...)
	if err := s.log.Append(ctx, body); err != nil {
		receipt.Settle(err)
		return err
	}
	for _, w := range body.Writes {
		w.Flush()
	}
	return out(ctx, pipeline.Parcel[*flow.Group]{Body: body, Size: body.Bytes, Receipt: receipt})
}

// promise makes w settle its receipt once all appends that wait for the log are settled.
func promise(w *flow.Write, r *pipeline.Receipt) {
	n := 0
	for _, a := range w.Appends {
		a.Write = w
		if a.Acks != flow.AcksNone && a.Err == nil {
			n++
		}
	}
	w.Promise(r, n)
}

// over ends a group: it is on disk and published, or nacked.
func (s *Stage) over(g *flow.Group, err error) {
	if err != nil {
		s.log.Nacked(g)
		for _, w := range g.Writes {
			w.Fail(err)
		}
	}
	if g.Image != nil {
		g.Image.Release()
	}
	s.inFlight.Add(-1)
	select {
	case s.settled <- struct{}{}:
	default:
	}
}
