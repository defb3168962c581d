package load

import (
	"context"
	"sync"
	"time"

	"github.com/sluicemq/sluice/bench/workloads"
)

// catchUp reads the backlog from its start.
type catchUp struct {
	consumer Consumer
	want     int64
	begin    time.Time
	seen     tally

	mu    sync.Mutex
	ended time.Time // when the last record of the backlog arrived
	last  time.Time // when the last record of any kind arrived
}

func (r *run) startCatchUp(ctx context.Context) error {
	if r.w.BacklogRecords == 0 {
		return nil
	}
	c := &catchUp{want: r.base, begin: time.Now()}
	var err error
	c.consumer, err = r.history.NewConsumer(ctx, FromStart, 0, 1, func(value []byte) {
		if len(value) < workloads.StampBytes || number(value) >= c.want || c.over() {
			return
		}
		r.meter.backlog.Add(1)
		c.seen.add(number(value))
		c.note()
		c.pause(r.w.BacklogRate)
	})
	if err != nil {
		return err
	}
	r.catchUp = c
	return nil
}

// pause waits until the next record is due.
func (c *catchUp) pause(perSecond float64) {
	if perSecond == 0 {
		return
	}
	once, _ := c.seen.counts()
	due := c.begin.Add(time.Duration(float64(once) / perSecond * float64(time.Second)))
	if wait := time.Until(due); wait > 5*time.Millisecond {
		time.Sleep(wait)
	}
}

// note records the time when everything has arrived.
func (c *catchUp) note() {
	once, _ := c.seen.counts()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	if once == c.want {
		c.ended = c.last
	}
}

func (c *catchUp) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended.IsZero()
}

// result returns the read rate of the backlog, and how many of its records are missing.
func (c *catchUp) result(w workloads.Workload) (mbPerS float64, missing int64) {
	once, _ := c.seen.counts()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.last.Sub(c.begin).Seconds(); s > 0 {
		mbPerS = float64(once) * float64(w.RecordBytes) / s / 1e6
	}
	return mbPerS, c.want - once
}

func (c *catchUp) close() {
	if c.consumer != nil {
		c.consumer.Close()
		c.consumer = nil
	}
}
