package machine

import (
	"cmp"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
)

func (r *Root) broker(id int32) (at int, known bool) {
	return slices.BinarySearchFunc(r.cluster.Brokers, id, func(b meta.Broker, id int32) int { return cmp.Compare(b.ID, id) })
}

// registerBroker records a new process of a broker, which is fenced until it is ready.
func (r *Root) registerBroker(x *RegisterBroker) (Result, RootChanges, error) {
	b := x.Broker
	b.Incarnation, b.Fenced, b.Draining, b.Decommissioned = r.unregistered[b.ID]+1, true, false, false
	if i, known := r.broker(b.ID); known {
		b.Incarnation, b.Decommissioned = r.cluster.Brokers[i].Incarnation+1, r.cluster.Brokers[i].Decommissioned
	}
	delete(r.unregistered, b.ID)
	r.cluster.Brokers = withBroker(r.cluster.Brokers, b, func(b meta.Broker) int32 { return b.ID })
	return r.clusterChanged(int64(b.Incarnation))
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
