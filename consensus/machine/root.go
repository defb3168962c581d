package machine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// Topic is a topic's record in Root. Values are immutable once published.
//
// Count partitions are visible to clients; 0 means that the topic is being created and
// invisible. While Target is larger, partitions from Count on are being created in their
// shards. A Deleted topic is a tombstone that stays until every shard has dropped its
// partitions.
type Topic struct {
	Name          string
	ID            topic.ID
	Internal      bool
	Configs       map[string]string
	Replication   int16
	Count, Target int32
	Layouts       []Layout // by From, ascending
	// MinISR is what the partitions shall have; they have it as of revision Settled.
	MinISR  MinISR
	Settled uint64
	Deleted bool
}

// Unfinished reports whether commands are missing to complete or remove it.
func (t *Topic) Unfinished() bool {
	return t.Deleted || t.Count < t.Target || t.Settled < t.MinISR.Revision
}

// Place returns the replicas of one of the topic's partitions.
func (t *Topic) Place(index int32) []int32 {
	i := len(t.Layouts) - 1
	for t.Layouts[i].From > index {
		i--
	}
	return Place(t.Layouts[i].Sites, t.ID, index, t.Replication)
}

// Cluster is the state of the cluster as a whole.
type Cluster struct {
	ID          string
	Shards      int32
	Brokers     []meta.Broker     // by id
	WALs        []meta.WAL        // by broker: the WAL that it writes
	Claims      []meta.Claim      // by broker: its last claim of the object store
	Starts      []meta.WALStart   // by broker
	Throttles   []meta.Throttle   // by broker
	Controllers []meta.Controller // by id
	Feature     int32
	// Lossy: shard 0 went on without changes that it had lost at some time, so there may be partitions
	// whose topic it does not know.
	Lossy bool
	// Gone are topics deleted and dropped from all shards, in the order in which they were
	// forgotten: a WAL may drop what it has of them. Beyond maxGone the oldest are removed.
	Gone []topic.ID
}

// maxGone limits Gone, to 160 KB. A WAL keeps batches of a topic whose deletion is no longer
// known.
const maxGone = 10_000

// RootChanges is what a command changed; values are immutable.
type RootChanges struct {
	Cluster *Cluster // nil: unchanged
	Topics  []TopicChange
}

// TopicChange is the new record of a topic; nil: forgotten.
type TopicChange struct {
	ID  topic.ID
	Now *Topic
}

// Root is the state machine of shard 0.
type Root struct {
	cluster Cluster
	nextID  int64 // producer id
	topics  map[topic.ID]*Topic
	names   map[string]topic.ID // of topics that are not deleted
	// unregistered has the last incarnations of unregistered brokers, which are never used again.
	unregistered map[int32]uint64
}

// NewRoot returns the state before the first command.
func NewRoot() *Root {
	return &Root{topics: make(map[topic.ID]*Topic), names: make(map[string]topic.ID), unregistered: make(map[int32]uint64)}
}

// Apply applies one command. It returns an error if the command is not one of Root's.
func (r *Root) Apply(cmd Command) (Result, RootChanges, error) {
	switch x := cmd.(type) {
	case *InitCluster:
		return r.initCluster(x)
	case *RegisterBroker:
		return r.registerBroker(x)
	case *ReadyBroker:
		return r.readyBroker(x)
	case *FenceBroker:
		return r.fenceBroker(x)
	case *DrainBroker:
		return r.setBroker(x.Broker, x.Incarnation, func(b *meta.Broker) { b.Draining = true })
	case *UnregisterBroker:
		return r.unregisterBroker(x)
	case *DecommissionBroker:
		return r.decommission(x)
	case *RecordThrottle:
		return r.recordThrottle(x)
	case *RecordController:
		return r.recordController(x)
	case *ForgetController:
		return r.forgetController(x)
	case *RaiseFeature:
		r.cluster.Feature = max(r.cluster.Feature, x.Level)
		return r.clusterChanged(int64(r.cluster.Feature))
	case *RecordLoss:
		r.cluster.Lossy = true
		return r.clusterChanged(0)
	case *SettleTopic:
		return r.settleTopic(x)
	case *BeginTopic:
		return r.beginTopic(x)
	case *GrowTopic:
		return r.growTopic(x)
	case *FinishTopic:
		return r.finishTopic(x)
	case *AlterTopic:
		return r.alterTopic(x)
	case *DeleteTopic:
		return r.deleteTopic(x)
	case *ForgetTopic:
		return r.forgetTopic(x)
	case *RecordWAL:
		return r.recordWAL(x)
	case *RecordWALStart:
		return r.recordWALStart(x)
	case *RecordClaim:
		return r.recordClaim(x)
	case *AllocateIDs:
		first := r.nextID
		r.nextID += int64(max(0, x.Count))
		return Result{Code: OK, Number: first}, RootChanges{}, nil
	}
	return Result{}, RootChanges{}, fmt.Errorf("%w: command %d is not of shard 0", ErrMalformed, cmd.kind())
}

// All returns the whole state as changes.
func (r *Root) All() RootChanges {
	cluster := r.cluster
	all := RootChanges{Cluster: &cluster}
	for id, t := range r.topics {
		all.Topics = append(all.Topics, TopicChange{id, t})
	}
	return all
}

func refused(code Code) (Result, RootChanges, error) { return Result{Code: code}, RootChanges{}, nil }

func (r *Root) clusterChanged(number int64) (Result, RootChanges, error) {
	cluster := r.cluster
	return Result{Code: OK, Number: number}, RootChanges{Cluster: &cluster}, nil
}

// put stores the record t.
func (r *Root) put(t *Topic) (Result, RootChanges, error) {
	r.topics[t.ID] = t
	return Result{Code: OK}, RootChanges{Topics: []TopicChange{{t.ID, t}}}, nil
}

func (r *Root) initCluster(x *InitCluster) (Result, RootChanges, error) {
	if r.cluster.ID == "" {
		r.cluster.ID, r.cluster.Shards = x.ClusterID, x.Shards
	}
	return r.clusterChanged(0)
}

func (r *Root) beginTopic(x *BeginTopic) (Result, RootChanges, error) {
	s := x.Spec
	if t, ok := r.topics[s.ID]; ok && !t.Deleted && t.Name == s.Name {
		return refused(OK) // a repetition
	}
	switch _, taken := r.names[s.Name]; {
	case taken || r.topics[s.ID] != nil:
		return refused(TopicExists)
	case s.Partitions < 1:
		return refused(InvalidPartitions)
	case s.Replication < 1 || int(s.Replication) > len(r.sites(s.Replication)):
		return refused(InvalidReplicas)
	}
	r.names[s.Name] = s.ID
	return r.put(&Topic{Name: s.Name, ID: s.ID, Internal: s.Internal, Configs: s.Configs, Replication: s.Replication,
		Target: s.Partitions, Layouts: []Layout{{0, r.sites(s.Replication)}}, MinISR: MinISR{N: minISR(s.Configs)}})
}

// seen returns the record of a topic that is visible to clients.
func (r *Root) seen(id topic.ID) (*Topic, bool) {
	t, ok := r.topics[id]
	return t, ok && !t.Deleted && t.Count > 0
}

func (r *Root) growTopic(x *GrowTopic) (Result, RootChanges, error) {
	t, ok := r.seen(x.ID)
	switch {
	case !ok:
		return refused(UnknownTopic)
	case x.Partitions <= t.Count:
		return refused(InvalidPartitions)
	case t.Count < t.Target && x.Partitions == t.Target:
		return refused(OK) // a repetition
	case t.Count < t.Target:
		return refused(Conflict)
	case int(t.Replication) > len(r.sites(t.Replication)):
		return refused(InvalidReplicas)
	}
	next := *t
	next.Target = x.Partitions
	next.Layouts = append(slices.Clone(t.Layouts), Layout{t.Count, r.sites(t.Replication)})
	return r.put(&next)
}

func (r *Root) finishTopic(x *FinishTopic) (Result, RootChanges, error) {
	t, ok := r.topics[x.ID]
	switch {
	case !ok || t.Deleted:
		return refused(UnknownTopic)
	case t.Target != x.Partitions:
		return refused(Conflict)
	case t.Count == t.Target:
		return refused(OK)
	}
	next := *t
	next.Count = t.Target
	next.Settled = min(t.Settled, x.Revision) // altered meanwhile: the new partitions do not know
	return r.put(&next)
}

func (r *Root) alterTopic(x *AlterTopic) (Result, RootChanges, error) {
	t, ok := r.seen(x.ID)
	if !ok {
		return refused(UnknownTopic)
	}
	next := *t
	next.Configs = make(map[string]string, len(t.Configs)+len(x.Set))
	maps.Copy(next.Configs, t.Configs)
	for _, name := range x.Del {
		delete(next.Configs, name)
	}
	maps.Copy(next.Configs, x.Set)
	if n := minISR(next.Configs); n != t.MinISR.N {
		next.MinISR = MinISR{n, t.MinISR.Revision + 1}
	}
	return r.put(&next)
}

// minISR returns the min.insync.replicas of a topic with these configs.
func minISR(configs map[string]string) int32 {
	return int32(topic.Values(configs).Int(topic.MinInsyncReplicas))
}

func (r *Root) settleTopic(x *SettleTopic) (Result, RootChanges, error) {
	t, ok := r.seen(x.ID)
	switch {
	case !ok:
		return refused(UnknownTopic)
	case x.Revision != t.MinISR.Revision || x.Revision <= t.Settled:
		return refused(OK) // there is a later one, or a repetition
	}
	next := *t
	next.Settled = x.Revision
	return r.put(&next)
}

func (r *Root) deleteTopic(x *DeleteTopic) (Result, RootChanges, error) {
	t, ok := r.seen(x.ID)
	if !ok {
		return refused(UnknownTopic)
	}
	delete(r.names, t.Name)
	return r.put(&Topic{Name: t.Name, ID: t.ID, Deleted: true})
}

func (r *Root) forgetTopic(x *ForgetTopic) (Result, RootChanges, error) {
	if t, ok := r.topics[x.ID]; !ok || !t.Deleted {
		return refused(UnknownTopic)
	}
	delete(r.topics, x.ID)
	gone := r.cluster.Gone
	if len(gone) >= maxGone {
		gone = gone[len(gone)-maxGone+1:]
	}
	r.cluster.Gone = append(slices.Clip(gone), x.ID) // a copy: readers have the old one
	cluster := r.cluster
	return Result{Code: OK}, RootChanges{Cluster: &cluster, Topics: []TopicChange{{x.ID, nil}}}, nil
}

// recordWAL records which WAL a broker writes from now on.
func (r *Root) recordWAL(x *RecordWAL) (Result, RootChanges, error) {
	r.cluster.WALs = withBroker(r.cluster.WALs, x.WAL, func(w meta.WAL) int32 { return w.Broker })
	return r.clusterChanged(0)
}

// recordWALStart records which process of a broker was the last to take over its WAL.
func (r *Root) recordWALStart(x *RecordWALStart) (Result, RootChanges, error) {
	r.cluster.Starts = withBroker(r.cluster.Starts, x.Start, func(s meta.WALStart) int32 { return s.Broker })
	return r.clusterChanged(0)
}

// recordClaim records which process of a broker is about to claim the object store.
func (r *Root) recordClaim(x *RecordClaim) (Result, RootChanges, error) {
	r.cluster.Claims = withBroker(r.cluster.Claims, x.Claim, func(c meta.Claim) int32 { return c.Broker })
	return r.clusterChanged(0)
}

// withBroker returns a copy of list, sorted by broker, with x in place of its broker's item.
func withBroker[T any](list []T, x T, broker func(T) int32) []T {
	list = slices.Clone(list)
	i, known := slices.BinarySearchFunc(list, broker(x), func(e T, id int32) int { return cmp.Compare(broker(e), id) })
	if known {
		list[i] = x
		return list
	}
	return slices.Insert(list, i, x)
}

// Has reports whether there is a record of the topic, even a tombstone.
func (r *Root) Has(id topic.ID) bool { return r.topics[id] != nil }
