package machine

import "github.com/sluicemq/sluice/internal/meta"

// acquireCoordinator gives the lease on the shard's groups to a live broker, if nobody has it and
// After is its last epoch. The epoch is the result's number.
func (s *Shard) acquireCoordinator(x *AcquireCoordinator, ch *Changes) (Code, int64) {
	session := s.sessions[x.Broker]
	switch lease := s.coordinator; {
	case !s.current(x.Broker, x.Incarnation) || !session.Live || session.Draining:
		return StaleIncarnation, 0
	case lease.Broker == x.Broker:
		return OK, int64(lease.Epoch) // a repetition: another incarnation has lost it
	case lease.Broker != meta.NoBroker || lease.Epoch != x.After:
		return Conflict, int64(lease.Epoch)
	}
	s.setCoordinator(meta.Coordinator{Broker: x.Broker, Epoch: s.coordinator.Epoch + 1}, ch)
	return OK, int64(s.coordinator.Epoch)
}

// releaseCoordinator takes the lease from a broker that has it.
func (s *Shard) releaseCoordinator(broker int32, ch *Changes) {
	if s.coordinator.Broker == broker {
		s.setCoordinator(meta.Coordinator{Broker: meta.NoBroker, Epoch: s.coordinator.Epoch}, ch)
	}
}

func (s *Shard) setCoordinator(lease meta.Coordinator, ch *Changes) {
	s.coordinator = lease
	ch.Coordinator = &lease
}
