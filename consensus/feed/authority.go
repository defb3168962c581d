package feed

import (
	"context"
	"errors"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
)

// AuthorityOf returns the Authority of a controller.
func AuthorityOf(q *quorum.Quorum) Authority { return authority{q} }

type authority struct{ *quorum.Quorum }

// Leads reports whether the controller leads shard 0.
func (a authority) Leads() bool { return a.Quorum.Leads(0) }

// Brokers returns the registered brokers.
func (a authority) Brokers() ([]Registered, error) {
	brokers, err := a.Quorum.Brokers()
	if err != nil {
		return nil, err
	}
	all := make([]Registered, 0, len(brokers))
	for _, b := range brokers {
		all = append(all, Registered{Broker: b.ID, Incarnation: b.Incarnation, Session: b.Session, Fenced: b.Fenced, Address: b.Internal})
	}
	return all, nil
}

var errNotLeader = errors.New("this controller does not lead shard 0 any more")

// Confirm asks shard 0's quorum.
func (a authority) Confirm(ctx context.Context) error {
	if _, err := a.ReadIndex(ctx, 0); err != nil {
		return err
	}
	if !a.Leads() {
		return errNotLeader
	}
	return nil
}

// Fence proposes FenceBroker.
func (a authority) Fence(ctx context.Context, shard int, r Registered) error {
	answer, _, err := a.Propose(ctx, shard, machine.Encode(&machine.FenceBroker{Broker: r.Broker, Incarnation: r.Incarnation, Session: r.Session}))
	if err != nil {
		return err
	}
	result, err := machine.DecodeResult(answer)
	if err != nil {
		return err
	}
	return result.Code.Err()
}
