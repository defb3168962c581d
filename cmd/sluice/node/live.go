package node

import "github.com/prometheus/client_golang/prometheus"

// Live is a broker that serves, and what can be changed of it meanwhile. Its methods are
// safe for concurrent use, also when the broker has stopped.
type Live struct{ n *node }

// Addresses says where it listens.
func (l Live) Addresses() Addresses { return l.n.listeners.addresses() }

// Registry takes metrics of whoever runs the broker.
func (l Live) Registry() prometheus.Registerer { return l.n.reg }

// StageLimits are what limits of one stage are to be, by key; each stage has depth and
// workers.
type StageLimits struct {
	Graph, Stage string
	Values       map[string]int64
}

// SetLimits makes all changes or none.
func (l Live) SetLimits(all []StageLimits) error { return l.n.limiter.apply(all...) }

// ReloadCertificates takes up what is in the files of certificates now. What cannot be used
// is returned, and what is in use then stays.
func (l Live) ReloadCertificates() error {
	if l.n.listeners.tls == nil {
		return nil
	}
	return l.n.listeners.tls.Reload()
}
