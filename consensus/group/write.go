package group

import (
	"context"
	"maps"
	"slices"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// change gathers what is written in one step of a group, and whom to tell.
type change struct {
	meta.GroupChange
	grows int64         // by so many bytes of offsets at most
	done  []func(error) // on the lane
}

func (c *change) empty() bool { return c.State == nil && len(c.Set) == 0 && len(c.Clear) == 0 }

// set adds offsets; what comes later for the same partition wins.
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

// write has the machine's state written, with the offsets that are waiting.
func (l *lane) write(e *entry, w rebalance.Write) {
	done := func(err error) {
		if err != nil {
			l.c.log.Warn("a group could not be written", "group", e.name, "err", err)
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

// flush begins to write what has gathered, unless a write is under way. A
// deletion comes last.
func (l *lane) flush(e *entry) {
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
		l.tasks <- func(l *lane) { l.wrote(e, &next, err) } // the lane runs while it is writing
	})
}

func (l *lane) wrote(e *entry, c *change, err error) {
	e.under = nil
	l.writing--
	if err == nil {
		l.look(e, c)
	} else {
		l.look(e, nil) // it may have been made all the same
	}
	l.c.metrics.wrote(c, err)
	for _, done := range c.done {
		done(err)
	}
	l.flush(e)
	l.settle(e)
}

// change writes one step of a group, when it is its turn.
func (c *Coordinator) change(name string, g meta.GroupChange) error {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.WriteTimeout)
	defer cancel()
	return c.store.ChangeGroup(ctx, name, g)
}
