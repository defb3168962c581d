package machine

import (
	"maps"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// electable is the registry for elections: a draining broker takes no leadership.
type electable meta.Sessions

func (e electable) Live(broker int32) (uint64, bool) {
	s := e[broker]
	return s.Incarnation, s.Live && !s.Draining
}

// setSession replaces the session of a broker; readers have the old table.
func (s *Shard) setSession(broker int32, session meta.Session, ch *Changes) {
	s.sessions = maps.Clone(s.sessions)
	s.sessions[broker] = session
	ch.Sessions = s.sessions
}

// current reports whether incarnation is the broker's current one.
func (s *Shard) current(broker int32, incarnation uint64) bool {
	return incarnation > 0 && s.sessions[broker].Incarnation == incarnation
}

// startBroker makes an incarnation the current one, which is not live yet, and fences the
// previous one, so that whatever that left in progress is refused, and a log truncated by a
// crash never continues under the epoch of the lost records.
func (s *Shard) startBroker(x *StartBroker, ch *Changes) Code {
	switch known := s.sessions[x.Broker].Incarnation; {
	case x.Incarnation < known || x.Incarnation == 0:
		return StaleIncarnation
	case x.Incarnation == known:
		return OK // a repetition
	}
	s.setSession(x.Broker, meta.Session{Incarnation: x.Incarnation}, ch)
	s.fence(x.Broker, ch)
	return OK
}

// readyBroker makes a broker live, which may make it the leader of partitions that have none. The
// session may be a later one than the shard knows, but not one that has ended.
func (s *Shard) readyBroker(x *ReadyBroker, ch *Changes) Code {
	switch {
	case !s.current(x.Broker, x.Incarnation):
		return StaleIncarnation
	case x.Session < s.sessions[x.Broker].Number:
		return StaleSession
	}
	if now := (meta.Session{Incarnation: x.Incarnation, Number: x.Session, Live: true}); s.sessions[x.Broker] != now {
		s.setSession(x.Broker, now, ch)
	}
	s.revise(ch, func(r replication.Record) replication.Record { return r.Unfence(electable(s.sessions)) })
	return OK
}

// fenceBroker ends the session of a broker, even before it begins here.
func (s *Shard) fenceBroker(x *FenceBroker, ch *Changes) Code {
	switch {
	case !s.current(x.Broker, x.Incarnation):
		return StaleIncarnation
	case x.Session < s.sessions[x.Broker].Number:
		return StaleSession
	}
	s.setSession(x.Broker, meta.Session{Incarnation: x.Incarnation, Number: x.Session + 1}, ch)
	s.fence(x.Broker, ch)
	return OK
}

// fence removes a broker that is not live from all ISRs and elects leaders in its place. It loses
// its lease.
func (s *Shard) fence(broker int32, ch *Changes) {
	s.releaseCoordinator(broker, ch)
	s.revise(ch, func(r replication.Record) replication.Record { return r.Fence(broker, false, electable(s.sessions)) })
}

// drainBroker hands over what a broker leads, where another member of the ISR is live.
func (s *Shard) drainBroker(x *DrainBroker, ch *Changes) Code {
	now := s.sessions[x.Broker]
	if !s.current(x.Broker, x.Incarnation) {
		return StaleIncarnation
	}
	if !now.Draining {
		now.Draining = true
		s.setSession(x.Broker, now, ch)
	}
	s.releaseCoordinator(x.Broker, ch)
	s.revise(ch, func(r replication.Record) replication.Record {
		if r.Leader != x.Broker {
			return r
		}
		return s.handOver(r)
	})
	return OK
}

// handOver moves leadership to the first other member of the ISR that is electable, if there is
// one.
func (s *Shard) handOver(r replication.Record) replication.Record {
	for _, b := range r.Replicas {
		if next, err := r.Transfer(b, electable(s.sessions)); err == nil {
			return next
		}
	}
	return r
}

// loseReplicas takes replicas that lost a part of their log out of ISR and ELR. Once the broker has been
// live in the session, they may have caught up, and be the only ones that have what was committed since.
func (s *Shard) loseReplicas(x *LoseReplicas, ch *Changes) Code {
	now := s.sessions[x.Broker]
	switch {
	case !s.current(x.Broker, x.Incarnation):
		return StaleIncarnation
	case x.Session < now.Number || now.Live:
		return StaleSession
	}
	lose := func(r replication.Record) replication.Record { return r.Fence(x.Broker, true, electable(s.sessions)) }
	if x.All {
		s.revise(ch, lose)
		return OK
	}
	for _, id := range x.Partitions {
		if p, ok := s.partition(id); ok {
			s.store(id, p, lose(replication.RecordOf(p)), ch)
		}
	}
	return OK
}

// revise applies a rule to all partitions. Those that it changes are stored in the order of
// their ids.
func (s *Shard) revise(ch *Changes, rule func(replication.Record) replication.Record) {
	type revision struct {
		id   topic.Partition
		p    *meta.Partition
		next replication.Record
	}
	var changed []revision
	for id, parts := range s.topics {
		for index, p := range parts {
			if next := rule(replication.RecordOf(p)); next.Version != p.Version {
				changed = append(changed, revision{topic.Partition{Topic: id, Index: index}, p, next})
			}
		}
	}
	slices.SortFunc(changed, func(a, b revision) int { return comparePartitions(a.id, b.id) })
	for _, c := range changed {
		s.store(c.id, c.p, c.next, ch)
	}
}

// store replaces the record of a partition by next, after what follows from it: a move may be
// complete, and rather than nobody a draining broker leads.
func (s *Shard) store(id topic.Partition, p *meta.Partition, next replication.Record, ch *Changes) {
	n := int(s.minISR[id.Topic].N)
	next = next.SetMinISR(n).Complete(electable(s.sessions)).SetMinISR(n).Unfence(s.sessions)
	if next.Version == p.Version {
		return
	}
	now := *p
	next.Into(&now)
	s.put(id, &now, ch)
}

func (s *Shard) partition(id topic.Partition) (*meta.Partition, bool) {
	p, ok := s.topics[id.Topic][id.Index]
	return p, ok
}
