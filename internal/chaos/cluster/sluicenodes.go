package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
)

// SluiceNodes are the nodes of `sluice dev --nodes N`, on loopback, each a broker and a controller.
type SluiceNodes struct {
	Binary string
	args   []string // of the supervisor
}

// Name returns the system's name.
func (*SluiceNodes) Name() string { return "sluice" }

const (
	portStep = 10 // from one node to the next
	tries    = 50
)

// Prepare returns the nodes.
func (s *SluiceNodes) Prepare(_ context.Context, hosts []Host, dirs []string) ([]Node, error) {
	addrs, err := ladder(hosts)
	admins, err2 := ladder(hosts)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	s.args = []string{"dev", "--nodes", strconv.Itoa(len(hosts)), "--data-dir", filepath.Dir(dirs[0]), "--listen", addrs[0], "--admin", admins[0]}
	nodes := make([]Node, len(hosts))
	for i := range nodes {
		nodes[i] = Node{Addr: addrs[i], Ready: func(ctx context.Context) error { return readyz(ctx, admins[i]) }}
	}
	return nodes, nil
}

// Supervisor starts all nodes.
func (s *SluiceNodes) Supervisor() Node { return Node{Path: s.Binary, Args: s.args} }

// ladder returns an address for each host, portStep apart, that are free.
func ladder(hosts []Host) ([]string, error) {
	for range tries {
		first, err := hosts[0].Address()
		if err != nil {
			return nil, err
		}
		base, err := netip.ParseAddrPort(first)
		if err != nil {
			return nil, err
		}
		addrs := []string{first}
		for i := 1; i < len(hosts); i++ {
			addr := netip.AddrPortFrom(base.Addr(), base.Port()+uint16(portStep*i)).String()
			l, err := net.Listen("tcp", addr)
			if err != nil {
				break
			}
			_ = l.Close() // only to see that it is free
			addrs = append(addrs, addr)
		}
		if len(addrs) == len(hosts) {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports, %d apart", len(hosts), portStep)
}
