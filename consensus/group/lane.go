package group

import (
	"container/heap"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
)

// task is something that a lane does with its groups.
type task func(*lane)

// waiter is a request that a machine will answer.
type waiter struct {
	on     func(rebalance.Effect)
	refuse func(code int16)
}

// entry is one group of a lane.
type entry struct {
	name   string
	g      *rebalance.Group
	wake   time.Time // when the lane will tick it, if it is among the wakes
	place  int       // in the wakes; -1: it is not there
	next   change    // gathers while under is written
	under  *change   // being written
	remove func(error)
	// evicting is called when the group has been deleted to make room.
	evicting func()
	gone     bool
	claims   int   // requests that wait for room
	bornMs   int64 // when it was asked to be joined, as long as the store has nothing of it
	kept     kept
	host     string // that it is counted at

	// What the totals have of it.
	state   rebalance.State
	charged amount
	rank    int // among the unused; -1: it is not there
	victim  victim
}

// lane owns some of the groups.
type lane struct {
	c       *Coordinator
	tasks   chan task
	groups  map[string]*entry
	waiting map[rebalance.Ticket]waiter
	ticket  rebalance.Ticket
	writing int // groups that are being written
	wakes   wakes
	unused  ranking
	spare   amount // what the unused take
	timer   *time.Timer
	held    amount // for the task that it is at
	resumed bool   // the task has waited for room
}

func newLane(c *Coordinator) *lane {
	l := &lane{c: c, tasks: make(chan task, c.cfg.Queue), groups: make(map[string]*entry),
		waiting: make(map[rebalance.Ticket]waiter), timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

// run does tasks until the coordinator is closed and all that was handed over is
// done.
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

// load takes in a group of the store, before the lane runs.
func (l *lane) load(g *meta.Group) {
	l.settle(l.insert(g.Name, rebalance.Load(g, l.c.cfg.limits(), l.c.clock.Now())))
}

// insert takes in a group that was not there; settle is to follow.
func (l *lane) insert(name string, g *rebalance.Group) *entry {
	e := &entry{name: name, g: g, place: -1, rank: -1, bornMs: l.c.clock.Now().UnixMilli()}
	l.groups[name] = e
	l.c.metrics.state(e.state, 1)
	l.look(e, nil)
	return e
}

// forget drops a group that is nowhere any more.
func (l *lane) forget(e *entry) {
	e.gone = true
	delete(l.groups, e.name)
	if e.place >= 0 {
		heap.Remove(&l.wakes, e.place)
	}
	l.rank(e)
	l.charge(e, amount{})
	l.c.metrics.state(e.state, -1)
}

// expect returns a ticket for a request that the machine will answer.
func (l *lane) expect(w waiter) rebalance.Ticket {
	l.ticket++
	l.waiting[l.ticket] = w
	return l.ticket
}

// step has the machine take ev and does what it says.
func (l *lane) step(e *entry, ev rebalance.Event) {
	for _, eff := range e.g.Step(l.c.clock.Now(), ev) {
		l.apply(e, eff)
	}
	l.settle(e)
}

func (l *lane) apply(e *entry, eff rebalance.Effect) {
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
		if e.evicting != nil { // also where nobody waits for it any more
			e.evicting()
		}
		l.forget(e)
	}
}

func (l *lane) reply(to rebalance.Ticket, eff rebalance.Effect) {
	if w, ok := l.waiting[to]; ok { // else it was refused when the coordinator closed
		delete(l.waiting, to)
		w.on(eff)
	}
}

// settle brings totals and timers in step with the machine.
func (l *lane) settle(e *entry) {
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

// arm has the lane tick the group when it is due. A tick that comes too early
// does no harm, so one that is later than before is left as it was.
func (l *lane) arm(e *entry) {
	at := e.g.Wake()
	switch {
	case at.IsZero():
		return
	case e.place < 0:
		e.wake = at
		heap.Push(&l.wakes, e)
	case at.Before(e.wake):
		e.wake = at
		heap.Fix(&l.wakes, e.place)
	default:
		return
	}
	l.rewind()
}

// tick wakes the groups that are due.
func (l *lane) tick() {
	now := l.c.clock.Now()
	for len(l.wakes) > 0 && !now.Before(l.wakes[0].wake) {
		l.step(heap.Pop(&l.wakes).(*entry), rebalance.Tick{})
	}
	l.rewind()
}

func (l *lane) rewind() {
	if len(l.wakes) > 0 {
		l.timer.Reset(max(0, l.wakes[0].wake.Sub(l.c.clock.Now())))
	}
}

// wakes is a heap of the groups that are to be ticked, the earliest first.
type wakes []*entry

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake.Before(w[j].wake) }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push adds an *entry.
func (w *wakes) Push(x any) {
	e := x.(*entry)
	e.place = len(*w)
	*w = append(*w, e)
}

// Pop removes the last one.
func (w *wakes) Pop() any {
	last := len(*w) - 1
	e := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	e.place = -1
	return e
}
