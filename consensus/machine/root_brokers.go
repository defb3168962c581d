package machine

import (
	"cmp"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
)

func (r *Root) broker(id int32) (at int, known bool) {
	return slices.BinarySearchFunc(r.cluster.Brokers, id, func(b meta.Broker, id int32) int { return cmp.Compare(b.ID, id) })
}

// Broker returns the record of a broker; one that is not registered has no incarnation.
func (r *Root) Broker(id int32) meta.Broker {
	if i, known := r.broker(id); known {
		return r.cluster.Brokers[i]
	}
	return meta.Broker{ID: id}
}

// Incarnation returns the last incarnation of a broker, registered or not; 0: it had none.
func (r *Root) Incarnation(id int32) uint64 {
	if i, known := r.broker(id); known {
		return r.cluster.Brokers[i].Incarnation
	}
	return r.unregistered[id]
}

// registerBroker records a new process of a broker, which is fenced until it is ready. It is refused
// if another process has registered since the proposer looked: a command of a process that has ended
// may come late.
func (r *Root) registerBroker(x *RegisterBroker) (Result, RootChanges, error) {
	b, last := x.Broker, r.Incarnation(x.Broker.ID)
	i, known := r.broker(b.ID)
	switch {
	case known && r.cluster.Brokers[i].Process == b.Process:
		return Result{Code: OK, Number: int64(last)}, RootChanges{}, nil // a repetition
	case x.After != last:
		return refused(StaleIncarnation)
	}
	b.Incarnation, b.Session, b.Fenced, b.Draining = last+1, 0, true, false
	b.Decommissioned = known && r.cluster.Brokers[i].Decommissioned
	delete(r.unregistered, b.ID)
	r.cluster.Brokers = withBroker(r.cluster.Brokers, b, func(b meta.Broker) int32 { return b.ID })
	return r.clusterChanged(int64(b.Incarnation))
}

// readyBroker makes a broker live, in the present session.
func (r *Root) readyBroker(x *ReadyBroker) (Result, RootChanges, error) {
	if r.otherSession(x.Broker, x.Incarnation, x.Session) {
		return refused(StaleSession)
	}
	return r.setBroker(x.Broker, x.Incarnation, func(b *meta.Broker) { b.Fenced, b.Draining = false, false })
}

// fenceBroker ends the present session of a broker, even before it is live in it: it may be live in
// other shards already.
func (r *Root) fenceBroker(x *FenceBroker) (Result, RootChanges, error) {
	if r.otherSession(x.Broker, x.Incarnation, x.Session) {
		return refused(StaleSession)
	}
	return r.setBroker(x.Broker, x.Incarnation, func(b *meta.Broker) { b.Session, b.Fenced, b.Draining = x.Session+1, true, false })
}

// otherSession reports whether an incarnation is the current one, and the session is not.
func (r *Root) otherSession(id int32, incarnation, session uint64) bool {
	i, known := r.broker(id)
	return known && r.cluster.Brokers[i].Incarnation == incarnation && r.cluster.Brokers[i].Session != session
}

// setBroker changes a broker if incarnation is its current one.
func (r *Root) setBroker(id int32, incarnation uint64, set func(*meta.Broker)) (Result, RootChanges, error) {
	i, known := r.broker(id)
	if !known || r.cluster.Brokers[i].Incarnation != incarnation {
		return refused(StaleIncarnation)
	}
	now := r.cluster.Brokers[i]
	if set(&now); now == r.cluster.Brokers[i] {
		return refused(OK)
	}
	r.cluster.Brokers = slices.Clone(r.cluster.Brokers)
	r.cluster.Brokers[i] = now
	return r.clusterChanged(0)
}

// unregisterBroker forgets a broker and what is recorded of it.
func (r *Root) unregisterBroker(x *UnregisterBroker) (Result, RootChanges, error) {
	i, known := r.broker(x.Broker)
	switch {
	case !known:
		return refused(UnknownBroker)
	case !r.cluster.Brokers[i].Fenced:
		return refused(Conflict)
	}
	c := &r.cluster
	r.unregistered[x.Broker] = c.Brokers[i].Incarnation
	c.Brokers = withoutBroker(c.Brokers, x.Broker, func(b meta.Broker) int32 { return b.ID })
	c.Throttles = withoutBroker(c.Throttles, x.Broker, func(t meta.Throttle) int32 { return t.Broker })
	return r.clusterChanged(0)
}

func (r *Root) decommission(x *DecommissionBroker) (Result, RootChanges, error) {
	i, known := r.broker(x.Broker)
	if !known {
		return refused(UnknownBroker)
	}
	return r.setBroker(x.Broker, r.cluster.Brokers[i].Incarnation, func(b *meta.Broker) { b.Decommissioned = x.On })
}

// recordThrottle records the throttle state of a registered broker.
func (r *Root) recordThrottle(x *RecordThrottle) (Result, RootChanges, error) {
	if _, known := r.broker(x.Throttle.Broker); !known {
		return refused(UnknownBroker)
	}
	r.cluster.Throttles = withBroker(r.cluster.Throttles, x.Throttle, func(t meta.Throttle) int32 { return t.Broker })
	return r.clusterChanged(0)
}

func (r *Root) recordController(x *RecordController) (Result, RootChanges, error) {
	r.cluster.Controllers = withBroker(r.cluster.Controllers, x.Controller, func(c meta.Controller) int32 { return c.ID })
	return r.clusterChanged(0)
}

func (r *Root) forgetController(x *ForgetController) (Result, RootChanges, error) {
	r.cluster.Controllers = withoutBroker(r.cluster.Controllers, x.ID, func(c meta.Controller) int32 { return c.ID })
	return r.clusterChanged(0)
}

// withoutBroker returns a copy of list without a broker's item.
func withoutBroker[T any](list []T, id int32, broker func(T) int32) []T {
	list = slices.DeleteFunc(slices.Clone(list), func(x T) bool { return broker(x) == id })
	if len(list) == 0 {
		return nil
	}
	return list
}

// Brokers returns the registered brokers, which the caller must not modify.
func (r *Root) Brokers() []meta.Broker { return r.cluster.Brokers }
