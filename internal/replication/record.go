package replication

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// NoLeader is the leader of a partition that nobody leads.
const NoLeader int32 = -1

// Errors of a change to a Record. Test for them with errors.Is.
var (
	// ErrStaleEpoch: the change comes from a leader that has been replaced.
	ErrStaleEpoch = fault.Refused(kerr.FencedLeaderEpoch, "the leader epoch is stale")
	// ErrStaleVersion: the record has changed since the version the change is based on.
	ErrStaleVersion = fault.Transient(kerr.InvalidUpdateVersion, "the partition has changed since")
	// ErrIneligible: the replica may not join the ISR, or may not lead.
	ErrIneligible = fault.Refused(kerr.IneligibleReplica, "the replica is not eligible")
	// ErrTierBase: the upload does not begin where the last one ended.
	ErrTierBase = fault.Refused(kerr.InvalidRequest, "the upload does not begin at the tier end")
)

// Record is the part of a partition's metadata that replication decides about. It lives in
// one Raft shard as a whole. Methods return a changed copy and never modify r or its
// slices, so records can be shared.
type Record struct {
	Replicas []int32 // assigned, the preferred leader first
	Leader   int32   // or NoLeader
	Epoch    int32   // leader epoch
	Version  int32   // incremented by each change
	ISR      []int32
	ELR      []int32
	MinISR   int   // min.insync.replicas of the topic, at most the number of replicas
	TierEnd  int64 // records below it are in objects

	// Replicas that a move adds and removes (KIP-455); Replicas has both.
	Adding, Removing []int32

	off rules
}

// Registry knows the brokers of the cluster.
type Registry interface {
	// Live returns the current incarnation of a broker. ok is false for a broker that is
	// fenced or unknown: it may neither lead nor join an ISR.
	Live(broker int32) (incarnation uint64, ok bool)
}

// Member is a broker in a proposed ISR.
type Member struct {
	Broker      int32
	Incarnation uint64
}

// ISRChange is a leader's proposal of a new ISR (AlterPartition, KIP-497).
type ISRChange struct {
	Leader  int32
	Epoch   int32
	Version int32 // of the record that it is based on
	ISR     []Member
}

// AlterISR replaces the ISR. It fails with ErrStaleEpoch, ErrStaleVersion or ErrIneligible,
// wrapped.
func (r Record) AlterISR(c ISRChange, brokers Registry) (Record, error) {
	if r.off.on(ruleAlterEpoch) && (c.Epoch != r.Epoch || c.Leader != r.Leader) {
		return r, fmt.Errorf("broker %d in epoch %d; broker %d leads in epoch %d: %w", c.Leader, c.Epoch, r.Leader, r.Epoch, ErrStaleEpoch)
	}
	if r.off.on(ruleVersion) && c.Version != r.Version {
		return r, fmt.Errorf("based on version %d; it is %d: %w", c.Version, r.Version, ErrStaleVersion)
	}
	isr := make([]int32, 0, len(c.ISR))
	for _, m := range c.ISR {
		inc, ok := brokers.Live(m.Broker)
		known := slices.Contains(r.ISR, m.Broker) || ok && inc == m.Incarnation || !r.off.on(ruleIncarnation)
		if !known || !slices.Contains(r.Replicas, m.Broker) || slices.Contains(isr, m.Broker) {
			return r, fmt.Errorf("broker %d, incarnation %d: %w", m.Broker, m.Incarnation, ErrIneligible)
		}
		isr = append(isr, m.Broker)
	}
	if !slices.Contains(isr, r.Leader) && r.off.on(ruleAlterEpoch) {
		return r, fmt.Errorf("an ISR without its leader, broker %d: %w", r.Leader, ErrIneligible)
	}
	return r.changed(isr, without(union(r.ELR, r.ISR), isr)), nil
}

// changed returns r with another ISR. The candidates are replicas outside it that hold all
// committed records; they are eligible as long as the ISR is too small (KIP-966).
func (r Record) changed(isr, candidates []int32) Record {
	r.Version++
	r.ISR = isr
	r.ELR = candidates
	if len(isr) >= r.MinISR && r.off.on(ruleELRCleared) {
		r.ELR = nil
	}
	return r
}

// Fence removes a broker whose session has ended or that has registered again. unclean means
// that it lost part of its log and is no longer eligible. If it was the leader, another
// eligible replica is elected, if there is one.
func (r Record) Fence(broker int32, unclean bool, brokers Registry) Record {
	inISR, inELR := slices.Contains(r.ISR, broker), slices.Contains(r.ELR, broker)
	if !inISR && !inELR && r.Leader != broker {
		return r
	}
	out := []int32{broker}
	candidates := without(union(r.ELR, r.ISR), without(r.ISR, out))
	if unclean && r.off.on(ruleUncleanLeaves) {
		candidates = without(candidates, out)
	}
	next := r
	if inISR || unclean {
		next = r.changed(without(r.ISR, out), candidates)
	}
	if next.Leader == broker {
		next = next.elect(brokers)
	}
	return next
}

// Unfence elects a leader for a partition that has none, after a broker came back.
func (r Record) Unfence(brokers Registry) Record {
	if r.Leader != NoLeader {
		return r
	}
	if next := r.elect(brokers); next.Leader != NoLeader {
		return next
	}
	return r
}

// elect makes a live member of the ISR the leader, else one of the ELR, else nobody. Replicas
// are tried in assignment order.
func (r Record) elect(brokers Registry) Record {
	r.Version++
	r.Epoch++
	r.Leader = NoLeader
	for _, among := range [][]int32{r.ISR, r.ELR} {
		for _, b := range r.Replicas {
			if _, ok := brokers.Live(b); ok && slices.Contains(among, b) {
				return r.led(b)
			}
		}
	}
	if !r.off.on(ruleCleanElection) {
		for _, b := range r.Replicas {
			if _, ok := brokers.Live(b); ok {
				return r.led(b)
			}
		}
	}
	return r
}

// led makes b the leader, and so a member of the ISR.
func (r Record) led(b int32) Record {
	r.Leader = b
	if !slices.Contains(r.ISR, b) {
		r.ISR = append(slices.Clone(r.ISR), b)
	}
	r.ELR = without(r.ELR, r.ISR)
	if len(r.ISR) >= r.MinISR && r.off.on(ruleELRCleared) {
		r.ELR = nil
	}
	return r
}

// Transfer moves leadership to another live member of the ISR. It returns ErrIneligible for
// any other broker.
func (r Record) Transfer(to int32, brokers Registry) (Record, error) {
	if _, ok := brokers.Live(to); !ok || !slices.Contains(r.ISR, to) {
		return r, fmt.Errorf("broker %d is not a live member of the ISR %v: %w", to, r.ISR, ErrIneligible)
	}
	if r.Leader == to {
		return r, nil
	}
	r.Version++
	r.Epoch++
	return r.led(to), nil
}

// ElectUnclean makes a live replica the leader although it may lack committed records, which
// are then lost. Only an operator may request it. Its log becomes the partition's log, and it is
// the only member of the ISR.
func (r Record) ElectUnclean(to int32, brokers Registry) (Record, error) {
	if _, ok := brokers.Live(to); !ok || !slices.Contains(r.Replicas, to) {
		return r, fmt.Errorf("broker %d is not a live replica of %v: %w", to, r.Replicas, ErrIneligible)
	}
	r.Version++
	r.Epoch++
	r.ISR, r.ELR = nil, nil
	return r.led(to), nil
}

// SetMinISR applies the topic's min.insync.replicas, as far as there are replicas: in a move,
// as many as before and after it.
func (r Record) SetMinISR(n int) Record {
	n = max(1, min(n, len(without(r.Replicas, r.Adding)), len(without(r.Replicas, r.Removing))))
	if n == r.MinISR {
		return r
	}
	r.MinISR = n
	return r.changed(r.ISR, r.ELR)
}

// CommitTier records that [base, end) is in an object uploaded by the leader of an epoch.
// Uploads are accepted in order, each starting where the previous one ended. The version does
// not change, so that uploads do not invalidate a leader's ISR proposals.
func (r Record) CommitTier(epoch int32, base, end int64) (Record, error) {
	switch {
	case epoch != r.Epoch && r.off.on(ruleUploadEpoch):
		return r, fmt.Errorf("uploaded in epoch %d; it is %d: %w", epoch, r.Epoch, ErrStaleEpoch)
	case base != r.TierEnd && r.off.on(ruleUploadBase), end <= base:
		return r, fmt.Errorf("[%d, %d) after %d: %w", base, end, r.TierEnd, ErrTierBase)
	}
	r.TierEnd = end
	return r, nil
}

// union returns a followed by the elements of b that are not in a.
func union(a, b []int32) []int32 { return append(slices.Clone(a), without(b, a)...) }

// without returns the elements of a that are not in b.
func without(a, b []int32) []int32 {
	var out []int32
	for _, v := range a {
		if !slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}
