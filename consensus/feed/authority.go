package feed

import (
	"context"
	"errors"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
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
		all = append(all, Registered{Broker: b.ID, Incarnation: b.Incarnation, Fenced: b.Fenced})
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

// Fence proposes FenceBroker. A broker that has started again needs none.
func (a authority) Fence(ctx context.Context, shard int, broker int32, incarnation uint64) error {
	answer, _, err := a.Propose(ctx, shard, machine.Encode(&machine.FenceBroker{Broker: broker, Incarnation: incarnation}))
	if err != nil {
		return err
	}
	r, err := machine.DecodeResult(answer)
	if err != nil {
		return err
	}
	if err := r.Code.Err(); err != nil && !errors.Is(err, meta.ErrStaleIncarnation) {
		return err
	}
	return nil
}
