package node

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/compact"
	"github.com/sluicemq/sluice/stages/retain"
)

// wireRetention builds the retention pipeline:
//
//	plan -> trim
func (s *storage) wireRetention(cfg retain.Config, log *slog.Logger, reg prometheus.Registerer) {
	s.retain = pipeline.New("retain", pipeline.WithLogger(log), pipeline.WithoutDrain())
	planner := retain.NewPlanner(cfg, retain.Deps{Broker: s.parts.broker, View: s.meta.View, State: s.parts.table.Loaded, Clock: clock.System{}})
	trims := pipeline.From(s.retain, "plan", planner)
	pipeline.Into(trims, "trim", retain.NewTrimmer(cfg, s.meta, log, reg), pipeline.Depth(1))
}

// wireCompaction builds the compaction pipeline:
//
//	plan -> compact
func (s *storage) wireCompaction(cfg compact.Config, log *slog.Logger, reg prometheus.Registerer) {
	s.compact = pipeline.New("compact", pipeline.WithLogger(log), pipeline.WithoutDrain())
	jobs := pipeline.From(s.compact, "plan", compact.NewPlanner(cfg, s.parts.broker, s.meta.View, clock.System{}))
	s.compactor = compact.NewCompactor(cfg, compact.Deps{Metadata: s.meta, Store: s.owned, LastBatch: s.producers.lastBatch, Clock: clock.System{}, Logger: log, Registry: reg})
	pipeline.Into(jobs, "compact", s.compactor, pipeline.Depth(1))
}
