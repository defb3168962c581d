package netlab

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Client is the name of the host of this process.
const Client = "client"

// mostDelayed bounds the packets that wait: more than that are lost, as in a router's queue.
const mostDelayed = 20000

// Switch is a network of hosts. It is safe for concurrent use.
type Switch struct {
	hosts   map[netip.Addr]*Host
	names   map[string]*Host
	links   *links
	waiting atomic.Int64
	wg      sync.WaitGroup
}

// NewSwitch makes a host for this process, with the name [Client], and one for each name. The
// seed decides which packets are lost.
func NewSwitch(seed uint64, names ...string) (*Switch, error) {
	s := &Switch{hosts: make(map[netip.Addr]*Host), names: make(map[string]*Host), links: newLinks(seed)}
	for i, name := range append([]string{Client}, names...) {
		h, err := newHost(name, netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}), i == 0)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.hosts[h.IP], s.names[name] = h, h
	}
	for _, h := range s.hosts {
		s.wg.Go(func() { s.run(h) })
	}
	return s, nil
}

// Host returns the host of a name.
func (s *Switch) Host(name string) *Host { return s.names[name] }

// Fail applies a fault to packets of any of the pairs until heal is called.
func (s *Switch) Fail(l Link, pairs ...Pair) (heal func()) { return s.links.fail(l, pairs) }

// Counts of packets so far.
func (s *Switch) Counts() Counts { return s.links.counts() }

// run passes on what a host sends.
func (s *Switch) run(from *Host) {
	buf := make([]byte, mtu+100)
	for {
		n, err := from.tun.Read(buf)
		if err != nil {
			return // closed
		}
		ip, ok := destination(buf[:n])
		to := s.hosts[ip]
		if !ok || to == nil {
			continue
		}
		for _, after := range s.links.decide(from.Name, to.Name) {
			s.deliver(to, buf[:n], after)
		}
	}
}

func (s *Switch) deliver(to *Host, packet []byte, after time.Duration) {
	if after <= 0 {
		_, _ = to.tun.Write(packet) // a full queue loses the packet, as networks do
		return
	}
	if s.waiting.Add(1) > mostDelayed {
		s.waiting.Add(-1)
		return
	}
	packet = append([]byte(nil), packet...)
	time.AfterFunc(after, func() {
		s.waiting.Add(-1)
		_, _ = to.tun.Write(packet) // as above; or the network is closed
	})
}

// Close removes the network.
func (s *Switch) Close() {
	for _, h := range s.hosts {
		h.close()
	}
	s.wg.Wait()
}

func (s *Switch) String() string { return fmt.Sprintf("%+v", s.Counts()) }
