package machine

import (
	"cmp"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// The second byte of a snapshot identifies its state machine.
const (
	snapshotRoot  = 'R'
	snapshotShard = 'S'
)

// Snapshot encodes the whole state.
func (r *Root) Snapshot() []byte {
	c := begin(rootVersion)
	mark(c, snapshotRoot)
	r.layout(c)
	return c.buf
}

// RestoreRoot decodes a snapshot. It retains nothing of b.
func RestoreRoot(b []byte) (*Root, error) {
	c, r := open(b, rootVersion, rootVersion), NewRoot()
	mark(c, snapshotRoot)
	r.layout(c)
	return r, c.end()
}

// Snapshot encodes the whole state.
func (s *Shard) Snapshot() []byte {
	c := begin(shardVersion)
	mark(c, snapshotShard)
	s.layout(c)
	return c.buf
}

// RestoreShard decodes a snapshot. It retains nothing of b.
func RestoreShard(b []byte) (*Shard, error) {
	c, s := open(b, shardVersion, shardVersion), NewShard()
	mark(c, snapshotShard)
	s.layout(c)
	return s, c.end()
}

// mark codes the kind of state machine, and checks it when reading.
func mark(c *coder, want byte) {
	got := want
	if c.byte(&got); c.err == nil && got != want {
		c.fail("a snapshot of another kind of shard")
	}
}

func (r *Root) layout(c *coder) {
	c.string(&r.cluster.ID)
	c.int32(&r.cluster.Shards)
	c.int32(&r.cluster.Feature)
	c.bool(&r.cluster.Lossy)
	list(c, &r.cluster.Brokers, 26, layoutBroker)
	table(c, &r.unregistered, 2, cmp.Compare[int32], (*coder).int32, (*coder).uint64)
	list(c, &r.cluster.Throttles, 5, layoutThrottle)
	list(c, &r.cluster.Controllers, 3, layoutController)
	c.int64(&r.nextID)
	list(c, &r.cluster.WALs, 17, layoutWAL)
	list(c, &r.cluster.Gone, 16, func(c *coder, id *topic.ID) { c.id((*[16]byte)(id)) })
	list(c, &r.cluster.Claims, 33, layoutClaim)
	list(c, &r.cluster.Starts, 17, layoutWALStart)
	records(c, &r.topics, 26, compareTopics, layoutTopicID, layoutTopic)
	if !c.reading {
		return
	}
	made(&r.topics)
	made(&r.unregistered)
	for id, t := range r.topics {
		if t.ID = id; !t.Deleted {
			r.names[t.Name] = id
		}
	}
}

func layoutTopicID(c *coder, id *topic.ID) { c.id((*[16]byte)(id)) }

func layoutTopic(c *coder, t *Topic) {
	c.string(&t.Name)
	c.bool(&t.Internal)
	configs(c, &t.Configs)
	c.int16(&t.Replication)
	c.int32(&t.Count)
	c.int32(&t.Target)
	list(c, &t.Layouts, 2, layoutLayout)
	layoutMinISR(c, &t.MinISR)
	c.uint64(&t.Settled)
	c.bool(&t.Deleted)
}

func (s *Shard) layout(c *coder) {
	byIndex := func(c *coder, parts *map[int32]*meta.Partition) {
		records(c, parts, 15, cmp.Compare[int32], (*coder).int32, layoutPartition)
	}
	table(c, &s.topics, 17, compareTopics, layoutTopicID, byIndex)
	table(c, &s.minISR, 18, compareTopics, layoutTopicID, layoutMinISR)
	table(c, (*map[int32]meta.Session)(&s.sessions), 5, cmp.Compare[int32], (*coder).int32, func(c *coder, x *meta.Session) {
		c.uint64(&x.Incarnation)
		c.uint64(&x.Number)
		c.bool(&x.Live)
		c.bool(&x.Draining)
	})
	c.int32(&s.coordinator.Broker)
	c.int32(&s.coordinator.Epoch)
	table(c, &s.objects, 20, func(a, b meta.ObjectID) int { return compareIDs(a, b) },
		func(c *coder, id *meta.ObjectID) { c.id((*[16]byte)(id)) }, layoutObject)
	records(c, &s.groups, 7, cmp.Compare[string], (*coder).string, func(c *coder, g *meta.Group) {
		layoutGroupState(c, g)
		layoutOffsets(c, &g.Offsets)
	})
	if !c.reading {
		return
	}
	for name, g := range s.groups {
		g.Name = name
	}
	made(&s.topics)
	made(&s.minISR)
	made((*map[int32]meta.Session)(&s.sessions))
	made(&s.objects)
	made(&s.groups)
}

// made replaces a map that was read as nil.
func made[K comparable, V any](m *map[K]V) {
	if *m == nil {
		*m = make(map[K]V)
	}
}

// records codes a table of values that are published by pointer.
func records[K comparable, V any](c *coder, m *map[K]*V, min int, compare func(a, b K) int, key func(*coder, *K), value func(*coder, *V)) {
	table(c, m, min, compare, key, func(c *coder, v **V) {
		if c.reading {
			*v = new(V)
		}
		value(c, *v)
	})
}
