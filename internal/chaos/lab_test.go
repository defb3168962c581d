//go:build chaos && linux && amd64

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/chaos/cluster"
	"github.com/sluicemq/sluice/internal/chaos/netlab"
	"github.com/sluicemq/sluice/internal/chaos/scenario"
)

// system is what is tested.
type system struct {
	cluster.System
	nodes   int
	network bool  // each node on a host of its own
	disk    int64 // bytes
	store   bool  // the nodes have an object store apart
	// How long partitions may be without an acknowledgement. It contains what clients need to
	// move on, up to ten seconds from a silent broker, and is for a machine that is busy.
	// Package bench/failover measures servers.
	without map[scenario.Writes]time.Duration
	recover time.Duration // from the end of the faults until all is well
}

const tillEnd = 10 * time.Minute // longer than any scenario

// chosen returns the system that the environment names.
func chosen() (system, error) {
	switch name := os.Getenv("CHAOS_SYSTEM"); name {
	case "kafka":
		k, version, err := cluster.FindKafka(os.Getenv("CHAOS_KAFKA_JARS"))
		fmt.Println("Apache Kafka", version)
		return system{System: k, nodes: 3, network: true, disk: 1 << 30, recover: 3 * time.Minute, without: map[scenario.Writes]time.Duration{
			scenario.Steady: 40 * time.Second, scenario.Lease: time.Minute, scenario.Halt: tillEnd}}, err
	case "sluice", "":
		binary := os.Getenv("CHAOS_SLUICE")
		if _, err := os.Stat(binary); err != nil {
			return system{}, fmt.Errorf("CHAOS_SLUICE names no binary of Sluice: %w", err)
		}
		// One node, on loopback: it has nobody to replicate to, and writes stop while it is gone.
		return system{System: cluster.Sluice{Binary: binary}, nodes: 1, disk: 3 << 30, recover: time.Minute, without: map[scenario.Writes]time.Duration{
			scenario.Steady: tillEnd, scenario.Lease: tillEnd, scenario.Halt: tillEnd}}, nil
	default:
		return system{}, fmt.Errorf("CHAOS_SYSTEM is %q; use sluice or kafka", name)
	}
}

// cannot returns why a scenario cannot run on a system, or "".
func (s system) cannot(sc scenario.Scenario) string {
	for _, f := range sc.Faults {
		switch f.Kind {
		case scenario.Kill, scenario.Freeze, scenario.Fill, scenario.Clock:
		case scenario.Store:
			if !s.store {
				return "there is no object store apart from the nodes"
			}
		default:
			if !s.network {
				return "the nodes have no network of their own"
			}
		}
		if (f.On == scenario.Follower || f.On == scenario.Last) && s.nodes < 3 {
			return fmt.Sprintf("%d nodes have no such follower", s.nodes)
		}
	}
	return ""
}

// lab is a cluster and what can fail around it.
type lab struct {
	system  system
	dir     string
	net     *netlab.Switch // nil without a network
	disks   []*netlab.Disk
	cluster *cluster.Cluster
}

func hostName(node int) string { return fmt.Sprintf("node-%d", node+1) }

func newLab(ctx context.Context, s system) (*lab, error) {
	dir, err := os.MkdirTemp(scratch, "chaos-")
	if err != nil {
		return nil, err
	}
	l := &lab{system: s, dir: dir}
	hosts := cluster.OnLoopback(s.nodes)
	if s.network {
		var names []string
		for i := range s.nodes {
			names = append(names, hostName(i))
		}
		if l.net, err = netlab.NewSwitch(uint64(time.Now().UnixNano()), names...); err != nil {
			return nil, errors.Join(err, l.close())
		}
		for i, name := range names {
			hosts[i] = l.net.Host(name)
		}
	}
	for i := range s.nodes {
		d := filepath.Join(dir, fmt.Sprintf("node-%d", i+1))
		err := os.Mkdir(d, 0o755)
		if err == nil {
			var disk *netlab.Disk
			disk, err = netlab.NewDisk(d, s.disk)
			l.disks = append(l.disks, disk)
		}
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	if l.cluster, err = cluster.Start(ctx, s, dir, hosts); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *lab) close() error {
	var errs []error
	if l.cluster != nil {
		errs = append(errs, l.cluster.Close())
	}
	if l.net != nil {
		l.net.Close()
	}
	for _, d := range l.disks {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// scratch is where everything is, on a disk of the sandbox that is gone with it.
const scratch = "/var/tmp"

// TestMain runs the tests in a sandbox.
func TestMain(m *testing.M) {
	code, err := netlab.Sandbox(func() int {
		if _, err := netlab.NewDisk(scratch, 64<<20); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT RUN: internal/chaos,", err)
		code = 1
	}
	os.Exit(code)
}
