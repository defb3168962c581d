package cluster

import (
	"os/exec"

	"github.com/sluicemq/sluice/internal/freeport"
)

// Host is where a node runs.
type Host interface {
	// Address returns a HOST:PORT of this host that is free and not returned again.
	Address() (string, error)
	// Start starts a process there.
	Start(*exec.Cmd) error
}

// Loopback is this machine.
type Loopback struct{}

// Address returns an address on 127.0.0.1.
func (Loopback) Address() (string, error) { return freeport.Address() }

// Start starts a process.
func (Loopback) Start(cmd *exec.Cmd) error { return cmd.Start() }

// OnLoopback returns n hosts that are all this machine.
func OnLoopback(n int) []Host {
	hosts := make([]Host, n)
	for i := range hosts {
		hosts[i] = Loopback{}
	}
	return hosts
}
