package replication

import "github.com/sluicemq/sluice/internal/meta"

// RecordOf returns the record of a partition. It shares p's slices.
func RecordOf(p *meta.Partition) Record {
	return Record{Replicas: p.Replicas, Leader: p.Leader, Epoch: p.Epoch, Version: p.Version, ISR: p.ISR, ELR: p.ELR,
		MinISR: p.MinISR, TierEnd: p.TierEnd, Adding: p.Adding, Removing: p.Removing}
}

// Into sets the fields of p that the record decides about.
func (r Record) Into(p *meta.Partition) {
	p.Replicas, p.Leader, p.Epoch, p.Version, p.ISR, p.ELR = r.Replicas, r.Leader, r.Epoch, r.Version, r.ISR, r.ELR
	p.MinISR, p.TierEnd, p.Adding, p.Removing = r.MinISR, r.TierEnd, r.Adding, r.Removing
}
