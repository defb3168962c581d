package group

import (
	"context"
	"maps"
	"slices"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// change collects what is written in one step of a group, and who to notify.
type change struct {
	meta.GroupChange
	grows int64         // maximum growth in bytes of offsets
	done  []func(error) // on the lane
}

func (c *change) empty() bool { return c.State == nil && len(c.Set) == 0 && len(c.Clear) == 0 }

// set adds offsets; later ones for the same partition win.
func (c *change) set(set offsets) {
	if c.Set == nil {
		c.Set = make(offsets, len(set))
	}
	maps.Copy(c.Set, set)
	c.Clear = slices.DeleteFunc(c.Clear, func(p topic.Partition) bool { _, ok := set[p]; return ok })
}

// clear removes offsets.
func (c *change) clear(gone []topic.Partition) {
	for _, p := range gone {
		delete(c.Set, p)
	}
	c.Clear = append(c.Clear, gone...)
}

// write writes the state machine's state, with pending offsets.
func (l *lane) write(e *laneGroup, w rebalance.Write) {
	done := func(err error) {
		if err != nil {
			l.c.log.Warn("cannot write a group", "group", e.name, "err", err)
		}
		l.step(e, rebalance.Written{ID: w.ID, OK: err == nil})
	}
	if w.Delete {
		e.remove = done
	} else {
		e.next.State = w.State
		e.next.done = append(e.next.done, done)
	}
	l.flush(e)
}

// flush starts to write the collected changes, unless a write is in progress. A deletion comes
// last.
func (l *lane) flush(e *laneGroup) {
	next := e.next
	switch {
	case e.under != nil:
		return
	case !next.empty():
		e.next = change{}
	case e.remove != nil:
		next = change{GroupChange: meta.GroupChange{Delete: true}, done: []func(error){e.remove}}
		e.remove = nil
	default:
		return
	}
	e.under = &next
	l.writing++
	l.c.tasks.Go(func() {
		err := l.c.change(e.name, next.GroupChange)
		l.tasks <- func(l *lane) { l.wrote(e, &next, err) } // the lane keeps running while it is writing
	})
}

func (l *lane) wrote(e *laneGroup, c *change, err error) {
	e.under = nil
	l.writing--
	if err == nil {
		l.look(e, c)
	} else {
		l.look(e, nil) // it may have been applied all the same
	}
	l.c.metrics.wrote(c, err)
	for _, done := range c.done {
		done(err)
	}
	l.flush(e)
	l.refresh(e)
}

// change writes one step of a group once a write slot is free.
func (c *Coordinator) change(name string, g meta.GroupChange) error {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.WriteTimeout)
	defer cancel()
	return c.store.ChangeGroup(ctx, name, g)
}
