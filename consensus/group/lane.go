package group

import (
	"container/heap"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
)

// task is a function that runs on a lane.
type task func(*lane)

// waiter is a request that a state machine will answer.
type waiter struct {
	on     func(rebalance.Effect)
	refuse func(code int16)
}

// laneGroup is one group of a lane.
type laneGroup struct {
	name      string
	g         *rebalance.Group
	wake      time.Time // next tick, if it is among the wakes
	wakeIndex int       // index in the wakes; -1: none
	next      change    // collects changes while under is being written
	under     *change   // being written
	remove    func(error)
	// evicting is called once the group has been deleted by an eviction.
	evicting func()
	gone     bool
	claims   int   // requests waiting for the quota
	bornMs   int64 // when it was created, while it is not in the store
	kept     kept
	host     string // under which it is counted

	// What the totals include.
	state   rebalance.State
	charged amount
	rank    int // index among the evictable groups; -1: none
	victim  victim
}

// lane owns some of the groups.
type lane struct {
	c       *Coordinator
	tasks   chan task
	groups  map[string]*laneGroup
	waiting map[rebalance.Ticket]waiter
	ticket  rebalance.Ticket
	writing int // groups being written
	wakes   wakes
	unused  ranking
	spare   amount // total of the evictable groups
	timer   *time.Timer
	held    amount // reserved for the current task
	resumed bool   // the current task has waited already
}

func newLane(c *Coordinator) *lane {
	l := &lane{c: c, tasks: make(chan task, c.cfg.Queue), groups: make(map[string]*laneGroup),
		waiting: make(map[rebalance.Ticket]waiter), timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

// run executes tasks until the coordinator is closed and all posted tasks are done.
func (l *lane) run() {
	defer l.timer.Stop()
	for {
		select {
		case t := <-l.tasks:
			l.do(t)
		case <-l.timer.C:
			l.tick()
		case <-l.c.closing:
			l.refuseAll()
			for l.writing > 0 || len(l.tasks) > 0 {
				l.do(<-l.tasks)
			}
			l.refuseAll()
			return
		}
	}
}

func (l *lane) do(t task) {
	t(l)
	l.put()
}

func (l *lane) refuseAll() {
	for t, w := range l.waiting {
		delete(l.waiting, t)
		w.refuse(kerr.CoordinatorNotAvailable.Code)
	}
}

// load adds a group of the store, before the lane runs.
func (l *lane) load(g *meta.Group) {
	l.refresh(l.insert(g.Name, rebalance.Load(g, l.c.cfg.limits(), l.c.clock.Now())))
}

// insert adds a new group; the caller must call refresh afterwards.
func (l *lane) insert(name string, g *rebalance.Group) *laneGroup {
	e := &laneGroup{name: name, g: g, wakeIndex: -1, rank: -1, bornMs: l.c.clock.Now().UnixMilli()}
	l.groups[name] = e
	l.c.metrics.state(e.state, 1)
	l.look(e, nil)
	return e
}

// forget removes a group that exists nowhere else.
func (l *lane) forget(e *laneGroup) {
	e.gone = true
	delete(l.groups, e.name)
	if e.wakeIndex >= 0 {
		heap.Remove(&l.wakes, e.wakeIndex)
	}
	l.rank(e)
	l.charge(e, amount{})
	l.c.metrics.state(e.state, -1)
}

// expect returns a ticket for a request that the state machine will answer.
func (l *lane) expect(w waiter) rebalance.Ticket {
	l.ticket++
	l.waiting[l.ticket] = w
	return l.ticket
}

// step passes ev to the state machine and performs its effects.
func (l *lane) step(e *laneGroup, ev rebalance.Event) {
	for _, eff := range e.g.Step(l.c.clock.Now(), ev) {
		l.apply(e, eff)
	}
	l.refresh(e)
}

func (l *lane) apply(e *laneGroup, eff rebalance.Effect) {
	switch eff := eff.(type) {
	case rebalance.Joined:
		l.reply(eff.To, eff)
	case rebalance.Synced:
		l.reply(eff.To, eff)
	case rebalance.Left:
		l.reply(eff.To, eff)
	case rebalance.Answer:
		l.reply(eff.To, eff)
	case rebalance.Write:
		l.write(e, eff)
	case rebalance.Rebalanced:
		l.c.metrics.rebalances.Inc()
		l.c.log.Debug("group rebalanced", "group", e.name, "generation", eff.Generation, "members", eff.Members)
	case rebalance.Expired:
		l.c.metrics.members.Inc()
		l.c.log.Info("group member removed", "group", e.name, "member", eff.MemberID, "why", eff.Why)
	case rebalance.Deleted:
		if e.evicting != nil { // even if nobody waits for it any more
			e.evicting()
		}
		l.forget(e)
	}
}

func (l *lane) reply(to rebalance.Ticket, eff rebalance.Effect) {
	if w, ok := l.waiting[to]; ok { // otherwise it was refused when the coordinator closed
		delete(l.waiting, to)
		w.on(eff)
	}
}

// refresh updates totals and timers from the state machine.
func (l *lane) refresh(e *laneGroup) {
	if e.gone {
		return
	}
	if s := e.g.State(); s != e.state {
		l.c.metrics.state(e.state, -1)
		l.c.metrics.state(s, 1)
		e.state = s
	}
	if e.g.Blank() && e.idle() && e.kept.from == nil {
		l.forget(e)
		return
	}
	l.charge(e, e.size())
	l.rank(e)
	l.arm(e)
}

// arm schedules the group's next tick. An early tick does no harm, so a timer is never moved to
// a later time.
func (l *lane) arm(e *laneGroup) {
	at := e.g.Wake()
	switch {
	case at.IsZero():
		return
	case e.wakeIndex < 0:
		e.wake = at
		heap.Push(&l.wakes, e)
	case at.Before(e.wake):
		e.wake = at
		heap.Fix(&l.wakes, e.wakeIndex)
	default:
		return
	}
	l.rewind()
}

// tick ticks the groups that are due.
func (l *lane) tick() {
	now := l.c.clock.Now()
	for len(l.wakes) > 0 && !now.Before(l.wakes[0].wake) {
		l.step(heap.Pop(&l.wakes).(*laneGroup), rebalance.Tick{})
	}
	l.rewind()
}

func (l *lane) rewind() {
	if len(l.wakes) > 0 {
		l.timer.Reset(max(0, l.wakes[0].wake.Sub(l.c.clock.Now())))
	}
}

// wakes is a heap of the groups to tick, the earliest first.
type wakes []*laneGroup

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake.Before(w[j].wake) }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].wakeIndex, w[j].wakeIndex = i, j
}

// Push implements heap.Interface.
func (w *wakes) Push(x any) {
	e := x.(*laneGroup)
	e.wakeIndex = len(*w)
	*w = append(*w, e)
}

// Pop implements heap.Interface.
func (w *wakes) Pop() any {
	last := len(*w) - 1
	e := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	e.wakeIndex = -1
	return e
}
