package rebalance

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
)

// model drives a group with random events of a few clients that behave, misbehave, disappear
// and come back, and checks the invariants after each.
type model struct {
	t     *rapid.T
	g     *Group
	twin  *Group // gets the same events; must behave the same
	now   time.Time
	ids   []string // every member id ever issued
	next  int
	made  Ticket
	owed  map[Ticket]bool
	write []Write // not yet reported, oldest first

	leaders    map[int32]string            // the leader of each generation
	assigned   map[int32]map[string]string // the durable assignment of each generation
	generation int32
}

var modelLimits = Limits{InitialDelay: 3 * time.Second, MinSession: time.Second, MaxSession: time.Minute, Members: 4, Bytes: 4000}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, now: time.UnixMilli(1e12), g: New("g", modelLimits), twin: New("g", modelLimits), owed: make(map[Ticket]bool),
			leaders: make(map[int32]string), assigned: make(map[int32]map[string]string)}
		t.Repeat(map[string]func(*rapid.T){
			"join": m.join, "rejoin": m.rejoin, "sync": m.sync, "heartbeat": m.heartbeat, "commit": m.commit,
			"leave": m.leave, "delete": m.delete, "written": m.written, "wait": m.wait,
		})
		m.drain()
	})
}

func (m *model) ticket() Ticket {
	m.made++
	m.owed[m.made] = true
	return m.made
}

// someone returns a member id, usually one that was issued.
func (m *model) someone() string {
	if len(m.ids) == 0 {
		return "stranger"
	}
	return rapid.SampledFrom(m.ids[max(0, len(m.ids)-6):]).Draw(m.t, "id")
}

func (m *model) instanceOf(id string) *string {
	if mem, ok := m.g.byID[id]; ok {
		return mem.instance
	}
	return nil
}

func (m *model) aGeneration() int32 {
	return m.g.generation - rapid.SampledFrom([]int32{0, 0, 0, 0, 1}).Draw(m.t, "behind")
}

func (m *model) join(t *rapid.T) {
	m.next++
	j := Join{To: m.ticket(), NewID: fmt.Sprintf("m%d", m.next), RequireID: rapid.Bool().Draw(t, "known")}
	if rapid.IntRange(0, 2).Draw(t, "static") == 0 {
		instance := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "instance")
		j.InstanceID = &instance
	}
	m.ids = append(m.ids, j.NewID)
	m.fill(&j)
	m.step(j)
}

func (m *model) rejoin(*rapid.T) {
	id := m.someone()
	j := Join{To: m.ticket(), MemberID: id, InstanceID: m.instanceOf(id)}
	m.fill(&j)
	m.step(j)
}

func (m *model) fill(j *Join) {
	j.ProtocolType = "consumer"
	j.CanSkip = rapid.Bool().Draw(m.t, "skip")
	j.Session = time.Duration(rapid.IntRange(0, 20).Draw(m.t, "session")) * time.Second
	j.Rebalance = time.Duration(rapid.IntRange(0, 20).Draw(m.t, "rebalance")) * time.Second
	for _, name := range rapid.SampledFrom([][]string{{"range"}, {"range", "rr"}, {"rr", "range"}, {"rr"}, {"range", "range"}}).Draw(m.t, "protocols") {
		size := rapid.SampledFrom([]int{0, 1, 1, 1, 900}).Draw(m.t, "size")
		j.Protocols = append(j.Protocols, Protocol{name, make([]byte, size)})
	}
}

func (m *model) sync(t *rapid.T) {
	id := m.someone()
	if rapid.Bool().Draw(t, "leader") {
		id = m.g.leader
	}
	s := Sync{To: m.ticket(), MemberID: id, InstanceID: m.instanceOf(id), Generation: m.aGeneration()}
	for _, o := range m.g.members {
		s.Assignments = append(s.Assignments, Assignment{o.id, fmt.Appendf(nil, "%s-%d-%d", o.id, s.Generation, m.made)})
	}
	m.step(s)
}

func (m *model) heartbeat(*rapid.T) {
	id := m.someone()
	m.step(Heartbeat{To: m.ticket(), MemberID: id, InstanceID: m.instanceOf(id), Generation: m.aGeneration()})
}

func (m *model) commit(t *rapid.T) {
	id := m.someone()
	c := Commit{To: m.ticket(), MemberID: id, InstanceID: m.instanceOf(id), Generation: m.aGeneration()}
	if rapid.Bool().Draw(t, "simple") {
		c = Commit{To: c.To, Generation: -1}
	}
	m.step(c)
}

func (m *model) leave(t *rapid.T) {
	l := Leave{To: m.ticket()}
	for range rapid.IntRange(1, 3).Draw(t, "n") {
		id := m.someone()
		l.Members = append(l.Members, Leaver{id, m.instanceOf(id)})
	}
	m.step(l)
}

func (m *model) delete(*rapid.T) { m.step(Delete{To: m.ticket()}) }

func (m *model) written(t *rapid.T) {
	if len(m.write) > 0 {
		m.reportWrite(rapid.IntRange(0, 4).Draw(t, "ok") > 0)
	}
}

func (m *model) reportWrite(ok bool) {
	w := m.write[0]
	m.write = m.write[1:]
	if ok && w.State != nil {
		a := make(map[string]string)
		for _, mem := range w.State.Members {
			a[mem.ID] = string(mem.Assignment)
		}
		m.assigned[w.State.Generation] = a
	}
	m.step(Written{ID: w.ID, OK: ok})
	if ok && w.Delete { // the driver removes it; the name may come back
		m.g, m.twin, m.generation = New("g", modelLimits), New("g", modelLimits), 0
		clear(m.leaders)
		clear(m.assigned)
		m.write = nil
	} else if ok && w.State != nil {
		m.reloads(w.State)
	}
}

// reloads checks that a restarted coordinator gets what was written.
func (m *model) reloads(s *meta.Group) {
	g := Load(s, modelLimits, m.now)
	again := g.durable(time.UnixMilli(s.StateMs), g.assigned())
	if !reflect.DeepEqual(again, s) {
		m.t.Fatalf("loaded and written again it is %+v, was %+v", again, s)
	}
}

func (m *model) wait(t *rapid.T) {
	m.pass(time.Duration(rapid.IntRange(1, 25_000).Draw(t, "ms")) * time.Millisecond)
}

func (m *model) pass(d time.Duration) {
	end := m.now.Add(d)
	for w := m.g.Wake(); !w.IsZero() && !w.After(end); w = m.g.Wake() {
		m.now = w
		m.step(Tick{})
	}
	m.now = end
}

// drain makes all clients disappear: in the end everything was answered and no member is left.
func (m *model) drain() {
	for len(m.write) > 0 {
		m.reportWrite(true)
	}
	m.pass(time.Hour)
	for len(m.write) > 0 {
		m.reportWrite(true)
	}
	if len(m.owed) > 0 || m.g.State() != Empty || len(m.g.pending) > 0 || m.g.bytes != 0 || !m.g.Wake().IsZero() {
		m.t.Fatalf("in the end %v is unanswered, the group is %+v", m.owed, m.g)
	}
}

func (m *model) step(ev Event) {
	before, most := m.g.bytes, -1
	switch ev := ev.(type) {
	case Join:
		most = m.g.JoinGrowth(&ev)
	case Sync:
		most = m.g.SyncGrowth(&ev)
	}
	effects := m.g.Step(m.now, ev)
	if most >= 0 && m.g.bytes > before+most {
		m.t.Fatalf("%+v may add %d bytes at most, it added %d", ev, most, m.g.bytes-before)
	}
	if twin := m.twin.Step(m.now, ev); !reflect.DeepEqual(effects, twin) {
		m.t.Fatalf("%+v gives %+v, and then %+v", ev, effects, twin)
	}
	for _, e := range effects {
		m.take(e)
	}
	m.check()
}

func (m *model) take(e Effect) {
	switch e := e.(type) {
	case Answer:
		m.answered(e.To)
	case Left:
		m.answered(e.To)
	case Joined:
		m.answered(e.To)
		if e.Code == 0 && len(e.Members) > 0 && !e.SkipAssignment {
			if old, ok := m.leaders[e.Generation]; ok && old != e.MemberID {
				m.t.Fatalf("%s and %s both lead generation %d", old, e.MemberID, e.Generation)
			}
			m.leaders[e.Generation] = e.MemberID
		}
	case Synced:
		m.answered(e.To)
		if want, ok := m.assigned[m.g.generation]; e.Code == 0 && (!ok || !slices.Contains(values(want), string(e.Assignment))) {
			m.t.Fatalf("assignment %q of generation %d is not what was written: %v", e.Assignment, m.g.generation, want)
		}
	case Write:
		m.write = append(m.write, e)
	case Rebalanced:
		if e.Generation <= m.generation {
			m.t.Fatalf("generation %d after %d", e.Generation, m.generation)
		}
	}
}

func (m *model) answered(to Ticket) {
	if !m.owed[to] {
		m.t.Fatalf("ticket %d was answered twice or never issued", to)
	}
	delete(m.owed, to)
}

// check compares the group's derived state with its members.
func (m *model) check() {
	g := m.g
	if g.generation < m.generation {
		m.t.Fatalf("generation fell from %d to %d", m.generation, g.generation)
	}
	m.generation = g.generation
	bytes, awaiting, supports := g.assignmentBytes, 0, make(map[string]int)
	for id := range g.pending {
		bytes += perMember + len(id)
	}
	if want := bytes - g.assignmentBytes; g.pendingBytes != want {
		m.t.Fatalf("counted %d bytes of pending ids, stored %d", want, g.pendingBytes)
	}
	for _, mem := range g.members {
		bytes += mem.size()
		if mem.join != 0 {
			awaiting++
		}
		for _, name := range []string{"range", "rr"} {
			if slices.ContainsFunc(mem.protocols, func(p Protocol) bool { return p.Name == name }) {
				supports[name]++
			}
		}
		if g.byID[mem.id] != mem || mem.instance != nil && g.static[*mem.instance] != mem {
			m.t.Fatalf("%s is not found by its id or instance", mem.id)
		}
	}
	switch {
	case bytes != g.bytes || awaiting != g.awaiting || !reflect.DeepEqual(supports, g.supports):
		m.t.Fatalf("counted %d bytes, %d awaiting, %v; stored %+v", bytes, awaiting, supports, g)
	case len(g.byID) != len(g.members) || len(g.pending) > g.limits.Members || g.bytes > g.limits.Bytes+1000:
		m.t.Fatalf("above its limits: %+v", g)
	case len(g.members) > 0 && g.byID[g.leader] == nil:
		m.t.Fatalf("leader %q is no member", g.leader)
	case (len(g.members) > 0) && (g.state == Empty || g.state == Dead):
		m.t.Fatalf("%v with members", g.state)
	case (g.state == Stable || g.state == CompletingRebalance) && (len(g.members) == 0 || !g.common(g.protocol)):
		m.t.Fatalf("%v with protocol %q among %v", g.state, g.protocol, g.supports)
	case !g.wake.IsZero() && !g.wake.After(m.now):
		m.t.Fatalf("wants to be woken at %v, which has passed", g.wake)
	case g.wake.IsZero() && len(g.members)+len(g.pending) > 0:
		m.t.Fatalf("has members but no next wake")
	}
}

func values(m map[string]string) []string {
	var v []string
	for _, s := range m {
		v = append(v, s)
	}
	return v
}

func TestCodesAreKafkas(t *testing.T) {
	for code, want := range map[int16]int16{kerr.UnknownMemberID.Code: 25, kerr.IllegalGeneration.Code: 22, kerr.RebalanceInProgress.Code: 27,
		kerr.MemberIDRequired.Code: 79, kerr.FencedInstanceID.Code: 82, kerr.NonEmptyGroup.Code: 68, kerr.GroupMaxSizeReached.Code: 81} {
		if code != want {
			t.Errorf("code %d, Kafka has %d", code, want)
		}
	}
}
