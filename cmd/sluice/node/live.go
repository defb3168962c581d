package node

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/setting"
)

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

// Change gives settings that are limits of stages new values, all of them or none.
func (l Live) Change(settings []setting.Field) error {
	var all []StageLimits
	for _, f := range settings {
		graph, stage, _ := strings.Cut(f.Live.Stage, "/")
		i := slices.IndexFunc(all, func(s StageLimits) bool { return s.Graph == graph && s.Stage == stage })
		if i < 0 {
			i, all = len(all), append(all, StageLimits{graph, stage, make(map[string]int64)})
		}
		all[i].Values[f.Live.Limit] = f.Whole()
	}
	return l.n.limiter.apply(all...)
}

// ReloadCertificates takes up what is in the files of certificates now. What cannot be used
// is returned, and what is in use then stays.
func (l Live) ReloadCertificates() error {
	if l.n.listeners.tls == nil {
		return nil
	}
	return l.n.listeners.tls.Reload()
}
