//go:build chaos && linux && amd64

package chaos

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluicemq/sluice/internal/chaos/netlab"
	"github.com/sluicemq/sluice/internal/chaos/scenario"
	"github.com/sluicemq/sluice/internal/chaos/wallclock"
)

// faults carries out a scenario's faults.
type faults struct {
	lab    *lab
	list   []scenario.Fault
	on     [][]int  // nodes of each fault, chosen when it begins for the first time
	heal   []func() // of each fault of the network that lasts
	hurt   map[int]int
	leader int
}

func newFaults(l *lab, list []scenario.Fault) *faults {
	return &faults{lab: l, list: list, on: make([][]int, len(list)), heal: make([]func(), len(list)), hurt: make(map[int]int)}
}

// choose returns the nodes of a fault. A node that suffers already is chosen only by Same and All.
func (f *faults) choose(i int) []int {
	n := f.lab.system.nodes
	well := func(node int) bool { return f.hurt[node] == 0 }
	var others []int
	for node := range n {
		if node != f.leader && well(node) {
			others = append(others, node)
		}
	}
	switch f.list[i].On {
	case scenario.Leader:
		if well(f.leader) || len(others) == 0 {
			return []int{f.leader}
		}
		return others[:1]
	case scenario.Follower:
		return others[:1]
	case scenario.Last:
		return others[len(others)-1:]
	case scenario.Same:
		return f.on[i-1]
	case scenario.All:
		all := make([]int, n)
		for node := range all {
			all[node] = node
		}
		return all
	default:
		return nil // the network
	}
}

func (f *faults) do(e scenario.Event) error {
	if f.on[e.Fault] == nil {
		f.on[e.Fault] = f.choose(e.Fault)
	}
	nodes := f.on[e.Fault]
	change := 1
	if !e.Begin {
		change = -1
	}
	for _, node := range nodes {
		f.hurt[node] += change
	}
	fault := f.list[e.Fault]
	if link, pairs := network(fault, nodes, f.lab.system.nodes); pairs != nil {
		if e.Begin {
			f.heal[e.Fault] = f.lab.net.Fail(link, pairs...)
		} else {
			f.heal[e.Fault]()
		}
		return nil
	}
	var errs []error
	for _, node := range nodes {
		if err := f.node(fault, node, e.Begin); err != nil {
			errs = append(errs, fmt.Errorf("%s of node %d: %w", fault.Kind, node+1, err))
		}
	}
	return errors.Join(errs...)
}

// node begins or ends a fault of a node.
func (f *faults) node(fault scenario.Fault, node int, begin bool) error {
	c := f.lab.cluster
	switch fault.Kind {
	case scenario.Kill:
		if begin {
			return c.Kill(node)
		}
		return c.Restart(node)
	case scenario.Freeze:
		if begin {
			return c.Stop(node)
		}
		return c.Continue(node)
	case scenario.Fill:
		if begin {
			return f.lab.disks[node].Fill()
		}
		err := f.lab.disks[node].Free()
		if c.Alive(node) != nil { // it may stop when its disk is full
			err = errors.Join(err, c.Restart(node))
		}
		return err
	case scenario.Clock:
		offset := fault.Delay
		if !begin {
			offset = 0
		}
		return wallclock.Set(c.PID(node), offset)
	default:
		return errors.New("not a fault of a node")
	}
}

// network returns what a fault does to packets, no pairs if nothing.
func network(f scenario.Fault, on []int, nodes int) (netlab.Link, []netlab.Pair) {
	var pairs []netlab.Pair
	add := func(from, to string) { pairs = append(pairs, netlab.Pair{From: from, To: to}) }
	for _, node := range on {
		me, next := hostName(node), hostName((node+1)%nodes)
		switch f.Kind {
		case scenario.Isolate:
			add(me, "")
			add("", me)
		case scenario.Depart:
			for other := range nodes {
				if other != node {
					add(me, hostName(other))
					add(hostName(other), me)
				}
			}
		case scenario.Mute:
			add(me, "")
		case scenario.Deafen:
			add("", me)
		case scenario.Split:
			add(me, next)
			add(next, me)
		}
	}
	if f.Kind == scenario.Loss || f.Kind == scenario.Delay {
		add("", "")
	}
	return netlab.Link{Cut: slices.Contains([]scenario.Kind{scenario.Isolate, scenario.Depart, scenario.Mute, scenario.Deafen, scenario.Split}, f.Kind),
		Loss: f.Share, Delay: f.Delay, Jitter: f.Jitter}, pairs
}
