package machine

import (
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Layouts of commands, field by field in the order of docs/formats/metadata.md.

func (x *InitCluster) layout(c *coder) {
	c.string(&x.ClusterID)
	c.int32(&x.Shards)
}

func (x *RegisterBroker) layout(c *coder) {
	layoutBroker(c, &x.Broker)
	c.uint64(&x.After)
}

func (x *BeginTopic) layout(c *coder) {
	s := &x.Spec
	c.string(&s.Name)
	c.id((*[16]byte)(&s.ID))
	c.int32(&s.Partitions)
	c.int16(&s.Replication)
	c.bool(&s.Internal)
	configs(c, &s.Configs)
}

func (x *GrowTopic) layout(c *coder) {
	c.id((*[16]byte)(&x.ID))
	c.int32(&x.Partitions)
}

func (x *FinishTopic) layout(c *coder) {
	c.id((*[16]byte)(&x.ID))
	c.int32(&x.Partitions)
	c.uint64(&x.Revision)
}

func (x *AlterTopic) layout(c *coder) {
	c.id((*[16]byte)(&x.ID))
	configs(c, &x.Set)
	list(c, &x.Del, 1, (*coder).string)
}

func (x *SettleTopic) layout(c *coder) {
	c.id((*[16]byte)(&x.ID))
	c.uint64(&x.Revision)
}

func (x *UnregisterBroker) layout(c *coder) { c.int32(&x.Broker) }

func (x *DecommissionBroker) layout(c *coder) {
	c.int32(&x.Broker)
	c.bool(&x.On)
}

func (x *RecordThrottle) layout(c *coder)   { layoutThrottle(c, &x.Throttle) }
func (x *RecordController) layout(c *coder) { layoutController(c, &x.Controller) }
func (x *ForgetController) layout(c *coder) { c.int32(&x.ID) }
func (x *RaiseFeature) layout(c *coder)     { c.int32(&x.Level) }
func (x *RecordLoss) layout(*coder)         {}

func (x *DeleteTopic) layout(c *coder)    { c.id((*[16]byte)(&x.ID)) }
func (x *ForgetTopic) layout(c *coder)    { c.id((*[16]byte)(&x.ID)) }
func (x *RecordWAL) layout(c *coder)      { layoutWAL(c, &x.WAL) }
func (x *RecordClaim) layout(c *coder)    { layoutClaim(c, &x.Claim) }
func (x *RecordWALStart) layout(c *coder) { layoutWALStart(c, &x.Start) }
func (x *AllocateIDs) layout(c *coder)    { c.int32(&x.Count) }

func (x *EnsurePartitions) layout(c *coder) {
	c.id((*[16]byte)(&x.Topic))
	layoutMinISR(c, &x.MinISR)
	list(c, &x.Parts, 2, func(c *coder, p *NewPartition) {
		c.int32(&p.Index)
		list(c, &p.Replicas, 1, (*coder).int32)
	})
}

func (x *SetLogStart) layout(c *coder) {
	c.partition(&x.Partition)
	c.int64(&x.Offset)
	c.int64(&x.NowMs)
}

func (x *PrepareObject) layout(c *coder) {
	c.id((*[16]byte)(&x.ID))
	c.uint64(&x.Shards)
	c.int64(&x.ExpiryMs)
}

func (x *CommitParts) layout(c *coder) {
	c.id((*[16]byte)(&x.ID))
	c.int64(&x.NowMs)
	list(c, &x.Parts, 40, func(c *coder, p *meta.CommitPart) {
		c.partition(&p.Partition)
		c.int32(&p.Epoch)
		layoutRef(c, &p.Ref)
		list(c, &p.Epochs, 2, layoutEpoch)
		layoutProducers(c, &p.Producers)
	})
}

func (x *ExpireObjects) layout(c *coder) { c.int64(&x.NowMs) }

func (x *ExpireProducers) layout(c *coder) {
	c.int64(&x.BeforeMs)
	c.int64(&x.NowMs)
}

func (x *CollectObjects) layout(c *coder) {
	list(c, &x.IDs, 16, func(c *coder, id *meta.ObjectID) { c.id((*[16]byte)(id)) })
}

func (x *MarkDeleted) layout(c *coder) {
	list(c, &x.IDs, 16, func(c *coder, id *meta.ObjectID) { c.id((*[16]byte)(id)) })
}

func (x *DropTopic) layout(c *coder) {
	c.id((*[16]byte)(&x.Topic))
	c.int64(&x.NowMs)
}

func (x *TrimLog) layout(c *coder) {
	c.partition(&x.Partition)
	c.int32(&x.Epoch)
	c.int64(&x.Offset)
	c.int64(&x.NowMs)
}

func (x *ReplaceObjects) layout(c *coder) {
	c.partition(&x.Partition)
	c.int32(&x.Epoch)
	list(c, &x.Old, 20, layoutRef)
	layoutRef(c, &x.New)
	c.int64(&x.CleanEnd)
	c.int64(&x.NowMs)
}

func (x *ChangeGroup) layout(c *coder) {
	c.string(&x.Name)
	c.int32(&x.Epoch)
	g := &x.Change
	there := g.State != nil
	c.bool(&there)
	if there {
		if c.reading {
			g.State = &meta.Group{Name: x.Name}
		}
		layoutGroupState(c, g.State)
	}
	layoutOffsets(c, &g.Set)
	list(c, &g.Clear, 17, (*coder).partition)
	c.bool(&g.Delete)
}

func layoutBroker(c *coder, b *meta.Broker) {
	c.int32(&b.ID)
	c.uint64(&b.Incarnation)
	c.id(&b.Process)
	c.uint64(&b.Session)
	c.string(&b.Host)
	c.int32(&b.Port)
	c.string(&b.Rack)
	c.string(&b.Internal)
	c.bool(&b.Fenced)
	c.bool(&b.Draining)
	c.bool(&b.Decommissioned)
}

func layoutThrottle(c *coder, x *meta.Throttle) {
	c.int32(&x.Broker)
	c.int32(&x.WALPermille)
	c.int64(&x.UploadLagMs)
	c.int64(&x.FollowerLagMs)
	c.int64(&x.AtMs)
}

func layoutController(c *coder, x *meta.Controller) {
	c.int32(&x.ID)
	c.string(&x.Feed)
	c.string(&x.Raft)
}

func layoutWAL(c *coder, w *meta.WAL) {
	c.int32(&w.Broker)
	c.id(&w.ID)
}

func layoutWALStart(c *coder, x *meta.WALStart) {
	c.int32(&x.Broker)
	c.id(&x.Process)
}

func layoutClaim(c *coder, x *meta.Claim) {
	c.int32(&x.Broker)
	c.id(&x.Found)
	c.id(&x.Process)
}

func layoutRef(c *coder, r *meta.ObjectRef) {
	c.id((*[16]byte)(&r.ID))
	c.int64(&r.Base)
	c.int64(&r.End)
	c.int64(&r.Bytes)
	c.int64(&r.MaxTimestamp)
	c.int64(&r.WrittenMs)
}

func layoutEpoch(c *coder, e *meta.EpochStart) {
	c.int32(&e.Epoch)
	c.int64(&e.Start)
}

func layoutProducers(c *coder, p *meta.Producers) {
	list(c, &p.Sections, 24, func(c *coder, s *meta.ProducerSection) {
		c.id((*[16]byte)(&s.Object))
		c.int64(&s.Offset)
		c.int64(&s.Length)
		c.uint32(&s.CRC)
		c.int64(&s.End)
		c.int64(&s.NewestMs)
		c.int32(&s.IDs)
		c.int64(&s.FirstID)
		c.int64(&s.LastID)
	})
	c.bytes(&p.Recent)
}

func layoutPartition(c *coder, p *meta.Partition) {
	c.int32(&p.Leader)
	c.int32(&p.Epoch)
	c.int32(&p.Version)
	list(c, &p.Replicas, 1, (*coder).int32)
	list(c, &p.ISR, 1, (*coder).int32)
	list(c, &p.ELR, 1, (*coder).int32)
	c.int(&p.MinISR)
	list(c, &p.Adding, 1, (*coder).int32)
	list(c, &p.Removing, 1, (*coder).int32)
	c.int64(&p.LogStart)
	c.int64(&p.TierEnd)
	list(c, &p.Objects, 20, layoutRef)
	list(c, &p.Epochs, 2, layoutEpoch)
	layoutProducers(c, &p.Producers)
	c.int64(&p.CleanEnd)
}

// layoutGroupState codes a group without its name and offsets.
func layoutGroupState(c *coder, g *meta.Group) {
	c.int32(&g.Generation)
	c.string(&g.ProtocolType)
	c.string(&g.Protocol)
	c.string(&g.Leader)
	c.int64(&g.StateMs)
	list(c, &g.Members, 8, func(c *coder, m *meta.GroupMember) {
		c.string(&m.ID)
		c.optional(&m.InstanceID)
		c.string(&m.ClientID)
		c.string(&m.ClientHost)
		c.int32(&m.SessionTimeoutMs)
		c.int32(&m.RebalanceMs)
		c.bytes(&m.Subscription)
		c.bytes(&m.Assignment)
	})
}

func layoutOffsets(c *coder, m *map[topic.Partition]meta.CommittedOffset) {
	table(c, m, 21, comparePartitions, (*coder).partition, func(c *coder, o *meta.CommittedOffset) {
		c.int64(&o.Offset)
		c.int32(&o.LeaderEpoch)
		c.string(&o.Metadata)
		c.int64(&o.CommitMs)
	})
}
