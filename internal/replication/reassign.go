package replication

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// Errors of a move. Test for them with errors.Is.
var (
	// ErrAssignment: the replicas to move to are no valid assignment.
	ErrAssignment = fault.Refused(kerr.InvalidReplicaAssignment, "invalid replica assignment")
	// ErrNoReassignment: there is no move to cancel.
	ErrNoReassignment = fault.Refused(kerr.NoReassignmentInProgress, "no reassignment is in progress")
)

// Reassign begins to move the partition to other replicas, the preferred leader first
// (KIP-455). Replicas are added first; see Complete. A move in progress is replaced: what it was
// about to add and is no longer wanted is dropped at once, what it was about to remove still
// counts as assigned. It fails with ErrAssignment, also if no replica would remain that holds
// all committed records.
func (r Record) Reassign(target []int32, brokers Registry) (Record, error) {
	if len(target) == 0 {
		return r, fmt.Errorf("no replicas: %w", ErrAssignment)
	}
	for i, b := range target {
		if b < 0 || slices.Contains(target[:i], b) {
			return r, fmt.Errorf("replicas %v: %w", target, ErrAssignment)
		}
	}
	assigned := without(r.Replicas, r.Adding)
	next := r
	next.Adding, next.Removing = without(target, assigned), without(assigned, target)
	next.Replicas = union(target, assigned)
	dropped := without(r.Replicas, next.Replicas)
	next = next.changed(without(r.ISR, dropped), without(r.ELR, dropped))
	if len(union(r.ISR, r.ELR)) > 0 && len(union(next.ISR, next.ELR)) == 0 {
		return r, fmt.Errorf("only replicas to be dropped, %v, are in sync: %w", dropped, ErrAssignment)
	}
	if slices.Contains(dropped, r.Leader) {
		next = next.elect(brokers)
	}
	return next, nil
}

// CancelReassign goes back to the replicas before the move.
func (r Record) CancelReassign(brokers Registry) (Record, error) {
	if len(r.Adding)+len(r.Removing) == 0 {
		return r, ErrNoReassignment
	}
	return r.Reassign(without(r.Replicas, r.Adding), brokers)
}

// Complete ends a move once all added replicas are in the ISR, and enough of it remains without
// the removed ones. If the leader is removed, another member of the ISR is elected. Otherwise it
// returns r.
func (r Record) Complete(brokers Registry) Record {
	if len(r.Adding)+len(r.Removing) == 0 || len(without(r.Adding, r.ISR)) > 0 {
		return r
	}
	isr := without(r.ISR, r.Removing)
	if len(isr) < max(1, r.MinISR) {
		return r
	}
	next := r.changed(isr, nil)
	next.Replicas = without(r.Replicas, r.Removing)
	next.Adding, next.Removing = nil, nil
	if slices.Contains(r.Removing, r.Leader) {
		next = next.elect(brokers)
	}
	return next
}
