package machine

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// TestReplicas drives two replicas of a Shard with arbitrary commands about brokers and replicas,
// including stale ones. One replica is restored from a snapshot now and then. Both must stay
// identical byte for byte, and every replica that may lead must hold all committed records.
func TestReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &replicasModel{shard: NewShard(), twin: NewShard(), complete: make(map[topic.Partition]map[int32]bool),
			seen: make(map[topic.Partition]meta.Partition)}
		for b := int32(1); b <= 3; b++ {
			m.apply(t, &StartBroker{Broker: b, Incarnation: 1})
			m.apply(t, &ReadyBroker{Broker: b, Incarnation: 1})
		}
		m.apply(t, &EnsurePartitions{Topic: topicID("t"), MinISR: MinISR{N: 2}, Parts: []NewPartition{{0, []int32{1, 2, 3}}, {1, []int32{3, 4, 1}}}})
		m.apply(t, &EnsurePartitions{Topic: topicID("u"), MinISR: MinISR{N: 3}, Parts: []NewPartition{{0, []int32{2}}}})
		t.Repeat(map[string]func(*rapid.T){
			"start":      m.start,
			"ready":      m.session(func(b int32, inc, n uint64) Command { return &ReadyBroker{b, inc, n} }),
			"ready2":     m.session(func(b int32, inc, n uint64) Command { return &ReadyBroker{b, inc, n} }),
			"fence":      m.session(func(b int32, inc, n uint64) Command { return &FenceBroker{b, inc, n} }),
			"drain":      m.drain,
			"lose":       m.lose,
			"alterISR":   m.alterISR,
			"alterISR2":  m.alterISR,
			"alterISR3":  m.alterISR,
			"elect":      m.elect,
			"minISR":     m.setMinISR,
			"reassign":   m.reassign,
			"reassign2":  m.reassign,
			"coordinate": m.coordinate,
			"group":      m.group,
			"restore":    m.restore,
			"":           m.check,
		})
	})
}

type replicasModel struct {
	shard, twin *Shard
	// complete has the replicas that hold all committed records of a partition: a replica outside
	// the ISR misses some as soon as the ISR is large enough to commit without it.
	complete map[topic.Partition]map[int32]bool
	seen     map[topic.Partition]meta.Partition
	revision uint64
	lease    meta.Coordinator
}

func (m *replicasModel) apply(t *rapid.T, cmd Command) Result {
	b := Encode(cmd)
	var results [2]Result
	for i, s := range []*Shard{m.shard, m.twin} {
		cmd, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if results[i], _, err = s.Apply(cmd); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(results[0].Encode(), results[1].Encode()) {
		t.Fatalf("%T: %+v and %+v", cmd, results[0], results[1])
	}
	m.commit()
	return results[0]
}

// refuse applies a command that must change nothing.
func (m *replicasModel) refuse(t *rapid.T, cmd Command, want Code) {
	before := m.shard.Snapshot()
	r := m.apply(t, cmd)
	if got := append(r.Parts, r.Code)[0]; got != want {
		t.Fatalf("%T: %v, want %v", cmd, got.Err(), want.Err())
	}
	if !bytes.Equal(before, m.shard.Snapshot()) {
		t.Fatalf("%T was refused and changed something", cmd)
	}
}

// commit lets every leader that may do so commit records that only its ISR holds.
func (m *replicasModel) commit() {
	for id, parts := range m.shard.topics {
		for index, p := range parts {
			at := topic.Partition{Topic: id, Index: index}
			if m.complete[at] == nil {
				m.complete[at] = make(map[int32]bool)
				for _, b := range p.Replicas {
					m.complete[at][b] = true
				}
			}
			if p.Leader != replication.NoLeader && len(p.ISR) >= p.MinISR {
				for b := range m.complete[at] {
					m.complete[at][b] = slices.Contains(p.ISR, b)
				}
			}
		}
	}
}

func anyBroker(t *rapid.T) int32 { return rapid.Int32Range(1, 4).Draw(t, "broker") }

func (m *replicasModel) anyPartition(t *rapid.T) (topic.Partition, *meta.Partition) {
	at := rapid.SampledFrom([]topic.Partition{{Topic: topicID("t")}, {Topic: topicID("t"), Index: 1}, {Topic: topicID("u")}}).Draw(t, "partition")
	p, _ := m.shard.partition(at)
	return at, p
}

func (m *replicasModel) start(t *rapid.T) {
	b := anyBroker(t)
	known := m.shard.sessions[b].Incarnation
	inc := known + uint64(rapid.Int64Range(0, 2).Draw(t, "ahead"))
	if known > 1 && rapid.Bool().Draw(t, "old") {
		m.refuse(t, &StartBroker{b, known - 1}, StaleIncarnation)
		return
	}
	if inc == 0 {
		m.refuse(t, &StartBroker{b, 0}, StaleIncarnation)
		return
	}
	m.apply(t, &StartBroker{b, inc})
	if s := m.shard.sessions[b]; inc > known && s != (meta.Session{Incarnation: inc}) {
		t.Fatalf("broker %d after its start: %+v", b, s)
	}
}

// session applies a command about a session of the current incarnation, or a stale one.
func (m *replicasModel) session(command func(b int32, inc, n uint64) Command) func(*rapid.T) {
	return func(t *rapid.T) {
		b := anyBroker(t)
		known := m.shard.sessions[b]
		n := known.Number + uint64(rapid.Int64Range(0, 2).Draw(t, "ahead"))
		switch {
		case rapid.IntRange(0, 3).Draw(t, "stale") == 0 || known.Incarnation == 0:
			m.refuse(t, command(b, known.Incarnation+uint64(rapid.SampledFrom([]int64{-1, 1}).Draw(t, "by")), n), StaleIncarnation)
			return
		case known.Number > 0 && rapid.IntRange(0, 3).Draw(t, "ended") == 0:
			m.refuse(t, command(b, known.Incarnation, known.Number-1), StaleSession)
			return
		}
		cmd := command(b, known.Incarnation, n)
		if r := m.apply(t, cmd); r.Code != OK {
			t.Fatalf("broker %d: %v", b, r.Code.Err())
		}
		want := meta.Session{Incarnation: known.Incarnation, Number: n, Live: true}
		if _, fence := cmd.(*FenceBroker); fence {
			want.Number, want.Live = n+1, false
		}
		if s := m.shard.sessions[b]; s != want {
			t.Fatalf("broker %d after %+v: %+v", b, cmd, s)
		}
	}
}

func (m *replicasModel) drain(t *rapid.T) {
	b := anyBroker(t)
	inc := m.shard.sessions[b].Incarnation
	if rapid.IntRange(0, 3).Draw(t, "stale") == 0 || inc == 0 {
		m.refuse(t, &DrainBroker{b, inc + uint64(rapid.SampledFrom([]int64{-1, 1}).Draw(t, "by"))}, StaleIncarnation)
		return
	}
	if r := m.apply(t, &DrainBroker{b, inc}); r.Code != OK {
		t.Fatalf("broker %d: %v", b, r.Code.Err())
	}
}

func (m *replicasModel) lose(t *rapid.T) {
	b := anyBroker(t)
	at, _ := m.anyPartition(t)
	known := m.shard.sessions[b]
	cmd := &LoseReplicas{Broker: b, Incarnation: known.Incarnation, Session: known.Number + uint64(rapid.Int64Range(0, 2).Draw(t, "ahead")), Partitions: []topic.Partition{at}}
	if cmd.All = rapid.Bool().Draw(t, "all"); cmd.All {
		cmd.Partitions = nil
	}
	switch {
	case cmd.Incarnation == 0:
		m.refuse(t, cmd, StaleIncarnation)
		return
	case known.Live: // it is said before the broker is ready
		m.refuse(t, cmd, StaleSession)
		return
	case known.Number > 0 && rapid.Bool().Draw(t, "ended"):
		cmd.Session = known.Number - 1
		m.refuse(t, cmd, StaleSession)
		return
	}
	for id, complete := range m.complete {
		if cmd.All || id == at {
			complete[b] = false
		}
	}
	if r := m.apply(t, cmd); r.Code != OK {
		t.Fatal(r.Code.Err())
	}
}

// alterISR proposes an ISR as leaders do: those that it adds have caught up. Or it is almost so.
func (m *replicasModel) alterISR(t *rapid.T) {
	at, p := m.anyPartition(t)
	change := replication.ISRChange{Leader: p.Leader, Epoch: p.Epoch, Version: p.Version}
	want := OK
	for _, b := range p.Replicas {
		session := m.shard.sessions[b]
		member := slices.Contains(p.ISR, b)
		if b != p.Leader && rapid.IntRange(0, 3).Draw(t, "in sync") == 0 {
			continue
		}
		inc := session.Incarnation
		if !member && rapid.IntRange(0, 3).Draw(t, "another incarnation") == 0 {
			inc++
		}
		if !member && (!session.Live || session.Draining || inc != session.Incarnation) {
			want = Ineligible
		}
		change.ISR = append(change.ISR, replication.Member{Broker: b, Incarnation: inc})
	}
	switch rapid.IntRange(0, 7).Draw(t, "stale") {
	case 0:
		change.Version--
		want = StaleVersion
	case 1:
		change.Epoch--
		want = StaleEpoch
	case 2:
		change.Leader++
		want = StaleEpoch
	}
	if p.Leader == replication.NoLeader && want == OK {
		want = Ineligible // nobody can say so
	}
	cmd := &AlterISR{Items: []ISRItem{{at, change}}}
	if want != OK {
		m.refuse(t, cmd, want)
		return
	}
	for _, member := range change.ISR {
		m.complete[at][member.Broker] = true // it has caught up
	}
	if r := m.apply(t, cmd); r.Parts[0] != OK {
		t.Fatalf("%+v of %+v: %v", change, *p, r.Parts[0].Err())
	}
}

func (m *replicasModel) elect(t *rapid.T) {
	at, p := m.anyPartition(t)
	before := *p
	kind := rapid.SampledFrom([]meta.Election{meta.ElectPreferred, meta.ElectNamed, meta.ElectUnclean}).Draw(t, "kind")
	cmd := &ElectLeaders{Kind: kind, Items: []ElectItem{{at, anyBroker(t)}}}
	if kind == meta.ElectUnclean && before.Leader != replication.NoLeader {
		m.refuse(t, cmd, ElectionNotNeeded)
		return
	}
	if kind == meta.ElectUnclean && m.shard.sessions[cmd.Items[0].To].Live && slices.Contains(p.Replicas, cmd.Items[0].To) {
		clear(m.complete[at]) // its log is the partition's log now
		m.complete[at][cmd.Items[0].To] = true
	}
	r := m.apply(t, cmd)
	after, _ := m.shard.partition(at)
	if moved := after.Leader != before.Leader; moved != (r.Parts[0] == OK) {
		t.Fatalf("%+v of %+v: %v, leader %d", cmd, before, r.Parts[0].Err(), after.Leader)
	}
}

func (m *replicasModel) setMinISR(t *rapid.T) {
	m.revision++
	cmd := &SetMinISR{Topic: topicID("t"), MinISR: MinISR{rapid.Int32Range(1, 4).Draw(t, "n"), m.revision}}
	m.apply(t, cmd)
	cmd.MinISR.N++
	m.refuse(t, cmd, OK)
}

func (m *replicasModel) reassign(t *rapid.T) {
	at, p := m.anyPartition(t)
	target := rapid.SliceOfNDistinct(rapid.Int32Range(1, 4), 0, 3, rapid.ID).Draw(t, "target")
	if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
		m.refuse(t, &Reassign{Items: []ReassignItem{{at, []int32{1, 1}}}}, InvalidAssignment)
		return
	}
	before := *p
	r := m.apply(t, &Reassign{Items: []ReassignItem{{at, target}}})
	after, _ := m.shard.partition(at)
	for b := range m.complete[at] {
		if !slices.Contains(after.Replicas, b) {
			delete(m.complete[at], b) // its copy is deleted
		}
	}
	unknown := slices.ContainsFunc(target, func(b int32) bool { return m.shard.sessions[b].Incarnation == 0 })
	switch code := r.Parts[0]; {
	case unknown:
		if code != UnknownBroker {
			t.Fatalf("%v: %v", target, code.Err())
		}
	case code != OK:
		if len(target) > 0 && code != InvalidAssignment || len(target) == 0 && code != NoReassignment && code != InvalidAssignment {
			t.Fatalf("%v of %+v: %v", target, before, code.Err())
		}
	case len(target) > 0 && !slices.Equal(without(after.Replicas, after.Removing), target):
		t.Fatalf("%v of %+v made %+v", target, before, *after)
	}
}

func without(a, b []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(a), func(x int32) bool { return slices.Contains(b, x) })
}

func (m *replicasModel) coordinate(t *rapid.T) {
	b := anyBroker(t)
	lease, session := m.shard.coordinator, m.shard.sessions[b]
	cmd := &AcquireCoordinator{Broker: b, Incarnation: session.Incarnation, After: lease.Epoch + int32(off(t, "epoch"))}
	switch {
	case session.Incarnation == 0 || !session.Live || session.Draining:
		m.refuse(t, cmd, StaleIncarnation)
	case lease.Broker == b:
		m.refuse(t, cmd, OK)
	case lease.Broker != meta.NoBroker || cmd.After != lease.Epoch:
		m.refuse(t, cmd, Conflict)
	default:
		r := m.apply(t, cmd)
		if now := m.shard.coordinator; now != (meta.Coordinator{Broker: b, Epoch: lease.Epoch + 1}) || r.Number != int64(now.Epoch) {
			t.Fatalf("%+v after %+v: %+v, %+v", cmd, lease, r, now)
		}
	}
}

func (m *replicasModel) group(t *rapid.T) {
	cmd := &ChangeGroup{Name: "g", Epoch: m.shard.coordinator.Epoch + int32(off(t, "epoch")), Change: meta.GroupChange{
		Set: map[topic.Partition]meta.CommittedOffset{{Topic: topicID("t")}: {Offset: rapid.Int64Range(0, 9).Draw(t, "offset")}}}}
	if cmd.Epoch != m.shard.coordinator.Epoch {
		m.refuse(t, cmd, Conflict)
		return
	}
	if r := m.apply(t, cmd); r.Code != OK {
		t.Fatal(r.Code.Err())
	}
}

func (m *replicasModel) restore(t *rapid.T) {
	s, err := RestoreShard(m.twin.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	m.twin = s
}

func (m *replicasModel) check(t *rapid.T) {
	if !bytes.Equal(m.shard.Snapshot(), m.twin.Snapshot()) {
		t.Fatal("two replicas differ at the same index")
	}
	if lease := m.shard.coordinator; lease != m.lease {
		if lease.Epoch < m.lease.Epoch || lease.Broker != meta.NoBroker && lease.Epoch == m.lease.Epoch {
			t.Fatalf("the lease went from %+v to %+v", m.lease, lease)
		}
		m.lease = lease
	}
	if b := m.lease.Broker; b != meta.NoBroker && (!m.shard.sessions[b].Live || m.shard.sessions[b].Draining) {
		t.Fatalf("broker %d coordinates and is %+v", b, m.shard.sessions[b])
	}
	for id, parts := range m.shard.topics {
		for index, p := range parts {
			m.checkPartition(t, topic.Partition{Topic: id, Index: index}, *p)
		}
	}
}

func (m *replicasModel) checkPartition(t *rapid.T, at topic.Partition, p meta.Partition) {
	before, known := m.seen[at]
	m.seen[at] = p
	a, b := replication.RecordOf(&before), replication.RecordOf(&p)
	switch {
	case !known:
	case p.Version < before.Version || p.Epoch < before.Epoch:
		t.Fatalf("%v went back from %+v to %+v", at, a, b)
	case p.Leader != before.Leader && p.Epoch == before.Epoch:
		t.Fatalf("%v: another leader in the same epoch: %+v, then %+v", at, a, b)
	case p.Version == before.Version && !sameRecord(before, p):
		t.Fatalf("%v changed without a version: %+v, then %+v", at, a, b)
	}
	for _, member := range slices.Concat(p.ISR, p.ELR) {
		if !slices.Contains(p.Replicas, member) {
			t.Fatalf("%v: broker %d is no replica: %+v", at, member, b)
		}
		if !m.complete[at][member] {
			t.Fatalf("%v: broker %d may lead and lacks committed records: %+v", at, member, b)
		}
	}
	for _, member := range p.ISR {
		if _, ok := m.shard.sessions.Live(member); !ok || slices.Contains(p.ELR, member) {
			t.Fatalf("%v: broker %d is in the ISR: %+v of %+v", at, member, b, m.shard.sessions)
		}
	}
	led := p.Leader != replication.NoLeader
	canLead := slices.ContainsFunc(slices.Concat(p.ISR, p.ELR), func(b int32) bool { return m.shard.sessions[b].Live })
	if led != canLead || led && !slices.Contains(p.ISR, p.Leader) {
		t.Fatalf("%v: the leader of %+v of %+v", at, b, m.shard.sessions)
	}
	m.checkMove(t, at, before, p)
	if len(p.ELR) > 0 && len(p.ISR) >= p.MinISR {
		t.Fatalf("%v: an ELR beside a sufficient ISR: %+v", at, b)
	}
	after, assigned := len(without(p.Replicas, p.Removing)), len(without(p.Replicas, p.Adding))
	if want := max(1, min(int(m.shard.minISR[at.Topic].N), after, assigned)); p.MinISR != want {
		t.Fatalf("%v: min ISR %d, want %d: %+v", at, p.MinISR, want, b)
	}
}

// checkMove: a move is complete as soon as it can be, and not before.
func (m *replicasModel) checkMove(t *rapid.T, at topic.Partition, before, p meta.Partition) {
	moving := len(p.Adding)+len(p.Removing) > 0
	if len(without(p.Adding, p.Replicas))+len(without(p.Removing, p.Replicas)) > 0 || len(without(p.Adding, p.Removing)) != len(p.Adding) ||
		len(without(p.Replicas, p.Removing)) == 0 {
		t.Fatalf("%v: a move that is none: %+v", at, p)
	}
	if moving && len(without(p.Adding, p.ISR)) == 0 && len(without(p.ISR, p.Removing)) >= p.MinISR {
		t.Fatalf("%v: a move that can be complete: %+v", at, p)
	}
	added := without(p.Replicas, without(before.Replicas, before.Adding))
	if !moving && len(before.Adding)+len(before.Removing) > 0 && len(added) > 0 &&
		(len(without(added, p.ISR)) > 0 || len(p.ISR) < min(before.MinISR, p.MinISR)) {
		t.Fatalf("%v: a move that was complete too early: %+v, then %+v", at, before, p)
	}
}

func sameRecord(a, b meta.Partition) bool {
	return a.Leader == b.Leader && a.Epoch == b.Epoch && a.MinISR == b.MinISR && slices.Equal(a.Replicas, b.Replicas) && slices.Equal(a.ISR, b.ISR) &&
		slices.Equal(a.ELR, b.ELR) && slices.Equal(a.Adding, b.Adding) && slices.Equal(a.Removing, b.Removing)
}
