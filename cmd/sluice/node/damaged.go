package node

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/partition"
)

// damagedPartitions registers the metric of partitions that refuse records.
func damagedPartitions(s *storage, reg prometheus.Registerer) {
	s.damagedLeft = new(atomic.Int64)
	s.damagedLeft.Store(int64(len(s.damaged)))
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_partitions_damaged",
		Help: "Partitions that accept no records because some are missing or damaged in the WAL."},
		func() float64 { return float64(s.damagedLeft.Load()) }))
}

// giveUp makes damaged partitions continue where the damage starts, if that was accepted: what
// the WAL has after it is void from then on, also after a restart.
func (s *storage) giveUp(ctx context.Context) {
	if !s.acceptLost {
		return
	}
	for p, d := range s.damaged {
		if err := s.log.Truncate(ctx, p, d.at); err != nil {
			s.logger.Error("cannot truncate a damaged partition; it accepts no records", "topic", nameOf(s.meta.View(), p.Topic), "partition", p.Index, "err", err)
			continue
		}
		s.parts.table.All(func(state *partition.State) bool {
			if state.ID == p {
				state.Lose(nil)
			}
			return state.ID != p
		})
		s.damagedLeft.Add(-1)
		s.logger.Warn("a damaged partition continues without the records after the damage", "topic", nameOf(s.meta.View(), p.Topic), "partition", p.Index, "offset", d.at)
	}
}
