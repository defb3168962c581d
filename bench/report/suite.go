package report

import (
	"time"

	"github.com/sluicemq/sluice/bench/device"
	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

// Suite holds all results. It is the JSON document.
type Suite struct {
	Started   time.Time            `json:"started"`
	Ended     time.Time            `json:"ended"`
	Host      Host                 `json:"host"`
	Short     bool                 `json:"short"` // a smoke test: the figures mean little
	Rounds    int                  `json:"rounds"`
	Device    []device.Line        `json:"device"`
	Budgets   int64                `json:"sluice_budgets_bytes"` // caches and memory budgets as configured
	Workloads []workloads.Workload `json:"workloads"`
	Runs      []Run                `json:"runs"`
	Ratios    []Ratio              `json:"ratios"`
}

// Host is the machine.
type Host struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Kernel string  `json:"kernel"`
	Go     string  `json:"go"`
	Load1  float64 `json:"load_1m"` // load average before the first run
	Sluice string  `json:"sluice"`  // versions
	NATS   string  `json:"nats_server"`
	Kafka  string  `json:"kafka"` // "" if not measured
}

// Run is one workload on one system in one round.
type Run struct {
	Workload     string `json:"workload"`
	System       string `json:"system"`
	Round        int    `json:"round"`
	RequestBytes int    `json:"request_bytes,omitempty"` // mean produce request, or echo frame
	load.Outcome
}

// runs returns the runs of a workload on a system, by round.
func (s *Suite) runs(workload, system string) []Run {
	var out []Run
	for _, r := range s.Runs {
		if r.Workload == workload && r.System == system {
			out = append(out, r)
		}
	}
	return out
}

// systems returns the systems that ran a workload, in the order of Systems.
func (s *Suite) systems(workload string) []string {
	var out []string
	for _, system := range Systems {
		if len(s.runs(workload, system)) > 0 {
			out = append(out, system)
		}
	}
	return out
}

// Systems are the names of all systems, as they appear in plots.
var Systems = []string{"sluice-tcp", "sluice-tls", "sluice-quic", "kafka-tcp", "kafka-tls", "jetstream", "jetstream-sync", "echo-ack", "echo-full"}
