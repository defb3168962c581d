package machine

import (
	"github.com/sluicemq/sluice/internal/replication"
)

// Layouts of the commands that change brokers, leaders and replicas.

func layoutIncarnation(c *coder, broker *int32, incarnation *uint64) {
	c.int32(broker)
	c.uint64(incarnation)
}

func (x *StartBroker) layout(c *coder) { layoutIncarnation(c, &x.Broker, &x.Incarnation) }
func (x *DrainBroker) layout(c *coder) { layoutIncarnation(c, &x.Broker, &x.Incarnation) }

func (x *ReadyBroker) layout(c *coder) {
	layoutIncarnation(c, &x.Broker, &x.Incarnation)
	c.uint64(&x.Session)
}

func (x *FenceBroker) layout(c *coder) {
	layoutIncarnation(c, &x.Broker, &x.Incarnation)
	c.uint64(&x.Session)
}

func (x *LoseReplicas) layout(c *coder) {
	layoutIncarnation(c, &x.Broker, &x.Incarnation)
	c.uint64(&x.Session)
	c.bool(&x.All)
	list(c, &x.Partitions, 17, (*coder).partition)
}

func (x *AlterISR) layout(c *coder) {
	list(c, &x.Items, 21, func(c *coder, i *ISRItem) {
		c.partition(&i.Partition)
		c.int32(&i.Change.Leader)
		c.int32(&i.Change.Epoch)
		c.int32(&i.Change.Version)
		list(c, &i.Change.ISR, 2, func(c *coder, m *replication.Member) {
			layoutIncarnation(c, &m.Broker, &m.Incarnation)
		})
	})
}

func (x *ElectLeaders) layout(c *coder) {
	c.byte((*byte)(&x.Kind))
	list(c, &x.Items, 18, func(c *coder, i *ElectItem) {
		c.partition(&i.Partition)
		c.int32(&i.To)
	})
}

func (x *SetMinISR) layout(c *coder) {
	c.id((*[16]byte)(&x.Topic))
	layoutMinISR(c, &x.MinISR)
}

func (x *Reassign) layout(c *coder) {
	list(c, &x.Items, 18, func(c *coder, i *ReassignItem) {
		c.partition(&i.Partition)
		list(c, &i.Target, 1, (*coder).int32)
	})
}

func (x *AcquireCoordinator) layout(c *coder) {
	layoutIncarnation(c, &x.Broker, &x.Incarnation)
	c.int32(&x.After)
}
