package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind of a fault.
type Kind string

// The kinds of faults. Each ends after [Fault.For].
const (
	Kill    Kind = "kill"    // SIGKILL; the node is started again at the end
	Freeze  Kind = "freeze"  // SIGSTOP
	Isolate Kind = "isolate" // no packet to or from the node
	Depart  Kind = "depart"  // none to or from the other nodes; clients reach it still
	Mute    Kind = "mute"    // what it sends is lost
	Deafen  Kind = "deafen"  // what is sent to it is lost
	Split   Kind = "split"   // none between it and the next node
	Loss    Kind = "loss"    // a fraction of all packets of the network is lost
	Delay   Kind = "delay"   // all packets of the network take Delay, and up to Jitter more
	Fill    Kind = "fill"    // its disk is full
	Clock   Kind = "clock"   // its wall clock jumps by Delay
	Store   Kind = "store"   // no node reaches the object store
)

// Target says which node a fault is on. It is chosen when the fault begins.
type Target string

// The targets.
const (
	Leader   Target = "leader"   // of partition 0
	Follower Target = "follower" // the first other node
	Last     Target = "last"     // the last node that is neither
	Same     Target = "same"     // the node of the fault before
	All      Target = "all"      // every node at once
	Network  Target = "network"  // no node in particular
)

// Fault is one fault.
type Fault struct {
	Kind   Kind
	On     Target
	At     time.Duration // since the start
	For    time.Duration
	Every  time.Duration // if not 0, the fault comes and goes: half of this on, half off
	Share  float64       // of Loss
	Delay  time.Duration // of Delay and Clock
	Jitter time.Duration // of Delay
}

// Writes says what must hold for producers during a scenario.
type Writes string

// What may happen to writes. How long each takes depends on the system.
const (
	Steady Writes = "steady" // no longer stop than a failover whose cause is noticed at once
	Lease  Writes = "lease"  // stop until a lease has expired
	Halt   Writes = "halt"   // may stop until the faults have ended
)

// Scenario is a sequence of faults.
type Scenario struct {
	Name   string
	About  string
	Writes Writes
	Faults []Fault
}

// Event is the begin or the end of a fault.
type Event struct {
	At    time.Duration
	Fault int // index
	Begin bool
}

// Timeline returns the events of a scenario in order. Every fault that begins ends.
func (s Scenario) Timeline() []Event {
	var events []Event
	for i, f := range s.Faults {
		if f.Every == 0 {
			events = append(events, Event{f.At, i, true}, Event{f.At + f.For, i, false})
			continue
		}
		for at := time.Duration(0); at < f.For; at += f.Every {
			events = append(events, Event{f.At + at, i, true}, Event{f.At + min(at+f.Every/2, f.For), i, false})
		}
	}
	// What ends at a moment ends before anything begins then.
	slices.SortStableFunc(events, func(a, b Event) int {
		if a.At == b.At && a.Begin != b.Begin {
			if a.Begin {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.At, b.At)
	})
	return events
}

// Uses reports whether a scenario has a fault of a kind.
func (s Scenario) Uses(k Kind) bool {
	return slices.ContainsFunc(s.Faults, func(f Fault) bool { return f.Kind == k })
}

var onNetwork = []Kind{Loss, Delay, Store}

// Validate reports a scenario that cannot be carried out.
func (s Scenario) Validate() error {
	if s.Name == "" || s.About == "" || len(s.Faults) == 0 || !slices.Contains([]Writes{Steady, Lease, Halt}, s.Writes) {
		return errors.New("a scenario needs a name, a description, faults, and what must hold for writes")
	}
	for i, f := range s.Faults {
		if err := f.validate(i); err != nil {
			return fmt.Errorf("%s: fault %d, %s: %w", s.Name, i+1, f.Kind, err)
		}
	}
	return nil
}

func (f Fault) validate(i int) error {
	switch {
	case f.At < 0 || f.For <= 0 || f.Every < 0 || f.Every > f.For:
		return errors.New("times do not fit together")
	case (f.On == Network) != slices.Contains(onNetwork, f.Kind):
		return errors.New("a fault of the network has no node, any other has one")
	case f.On == Same && i == 0:
		return errors.New("there is no fault before it")
	case (f.Kind == Loss) != (f.Share > 0) || f.Share >= 1:
		return errors.New("a loss, and nothing else, has a share below 1")
	case (f.Kind == Delay || f.Kind == Clock) != (f.Delay != 0):
		return errors.New("a delay or a clock, and nothing else, has a time")
	case f.Jitter != 0 && f.Kind != Delay:
		return errors.New("only a delay has a jitter")
	}
	return nil
}
