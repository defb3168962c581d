package node

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/setting"
)

// Live is a running broker, and what can be changed at run time. Its methods are safe for
// concurrent use, even after the broker has stopped.
type Live struct{ n *node }

// Addresses returns the addresses that the broker listens on.
func (l Live) Addresses() Addresses { return l.n.listeners.addresses() }

// Registry returns the registry, for metrics of the caller.
func (l Live) Registry() prometheus.Registerer { return l.n.reg }

// StageLimits are the new limits of one stage, by key; each stage has depth and workers.
type StageLimits struct {
	Graph, Stage string
	Values       map[string]int64
}

// Change applies settings that are limits of stages, all or none.
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

// ReloadCertificates reloads the certificate files. Unusable ones are logged, and the old contents
// stay in use.
func (l Live) ReloadCertificates() {
	if l.n.listeners.tls != nil {
		_ = l.n.listeners.tls.Reload() // logged there
	}
}
